using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Runs.Reports;

namespace LowRankQuant.Runs.Measuring;

/// <summary>The linears of a result as they are stored, beside those of its source. Reads every one of both once, one at a time.</summary>
internal static class ResultTensors
{
    /// <summary>Lists them.</summary>
    /// <param name="source">The source; null where transforms make weights of the two incomparable.</param>
    /// <param name="result">The result.</param>
    /// <param name="cancellation">Asks to stop.</param>
    public static IReadOnlyList<TensorReport> Of(CausalModel? source, CausalModel result, CancellationToken cancellation)
    {
        var tensors = new List<TensorReport>();
        ICheckpoint stored = result.Checkpoint;
        for (int block = 0; block < result.Config.Layers; block++)
        {
            foreach (LinearShape linear in result.LinearsOf(block))
            {
                cancellation.ThrowIfCancellationRequested();
                string tensor = $"{result.BlockName(block)}.{linear.Name}.weight";
                if (!stored.Contains(tensor)) continue;
                QuantizedWeight? weight = stored.ReadQuantized(tensor);
                double bits = (double)stored.StoredBitsOf(tensor) / ((double)linear.OutFeatures * linear.InFeatures);
                float[]? before = Read(source?.Checkpoint, tensor, linear);
                tensors.Add(new TensorReport(
                    block, linear.Name, linear.OutFeatures, linear.InFeatures, weight is null ? stored.BlockTypeOf(tensor) ?? "floats" : $"{weight.Grid}", weight?.Grid.Bits ?? (int)Math.Round(bits),
                    weight?.Branch?.Rank ?? 0, bits, before is null ? null : ErrorOf(before, Read(stored, tensor, linear)!))
                {
                    Clipped = before is null || weight is null ? null : ClippedShare(before, weight),
                });
            }
        }
        return tensors;
    }

    private static float[]? Read(ICheckpoint? checkpoint, string tensor, LinearShape linear)
    {
        if (checkpoint?.Contains(tensor) != true) return null;
        var values = new float[(long)linear.OutFeatures * linear.InFeatures];
        checkpoint.Read(tensor, values);
        return values;
    }

    /// <summary>See <see cref="TensorReport.Clipped"/>.</summary>
    /// <param name="before">The source's weight, [out, in].</param>
    /// <param name="weight">The result's.</param>
    internal static double ClippedShare(float[] before, QuantizedWeight weight)
    {
        float[]? branch = weight.Branch is null ? null : new float[before.LongLength];
        weight.Branch?.AddTo(branch);
        int groups = weight.Grid.GroupsPerRow(weight.InFeatures), size = weight.InFeatures / groups;
        long clipped = 0;
        for (int row = 0; row < weight.OutFeatures; row++)
        {
            for (int group = 0; group < groups; group++)
            {
                CodeRange range = weight.RangeOf(row, group);
                int start = (row * weight.InFeatures) + (group * size);
                for (int i = start; i < start + size; i++)
                {
                    if (range.Clips(branch is null ? before[i] : before[i] - (double)branch[i])) clipped++;
                }
            }
        }
        return before.Length == 0 ? 0 : (double)clipped / before.Length;
    }

    private static double? ErrorOf(float[] before, float[] after)
    {
        double energy = 0, error = 0;
        for (int i = 0; i < before.Length; i++)
        {
            double off = before[i] - (double)after[i];
            energy += (double)before[i] * before[i];
            error += off * off;
        }
        return energy > 0 ? Math.Sqrt(error / energy) : null;
    }
}
