using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Runs.Reports;

namespace LowRankQuant.Runs;

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
                tensors.Add(new TensorReport(
                    block, linear.Name, linear.OutFeatures, linear.InFeatures, weight is null ? stored.BlockTypeOf(tensor) ?? "floats" : $"{weight.Grid}", weight?.Grid.Bits ?? (int)Math.Round(bits),
                    weight?.Branch?.Rank ?? 0, bits, ErrorOf(source, stored, tensor, linear)));
            }
        }
        return tensors;
    }

    private static double? ErrorOf(CausalModel? source, ICheckpoint stored, string tensor, LinearShape linear)
    {
        if (source is null || !source.Checkpoint.Contains(tensor)) return null;
        float[] before = new float[(long)linear.OutFeatures * linear.InFeatures], after = new float[before.LongLength];
        source.Checkpoint.Read(tensor, before);
        stored.Read(tensor, after);
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
