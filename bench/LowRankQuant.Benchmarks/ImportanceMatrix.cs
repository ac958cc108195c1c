using LowRankQuant.Evaluation;
using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Numerics;

namespace LowRankQuant.Benchmarks;

/// <summary>The importance matrix of llama.cpp's quantizer: the mean square of every input of every linear layer over a calibration text.</summary>
internal static class ImportanceMatrix
{
    /// <summary>Measures it.</summary>
    /// <param name="model">The model at full precision.</param>
    /// <param name="windows">Calibration windows.</param>
    /// <returns>By the tensor's name in a GGUF file.</returns>
    public static Dictionary<string, float[]> Measure(CausalModel model, IReadOnlyList<TextWindow> windows)
    {
        Dictionary<string, string> names = model.Checkpoint.Architecture.Gguf!.Place(model.Checkpoint.Layout, out _)
            .SelectMany(stored => stored.Parts.Select(part => (part.Name, File: stored.Name))).ToDictionary(pair => pair.Name, pair => pair.File, StringComparer.Ordinal);
        var sums = new Dictionary<string, double[]>(StringComparer.Ordinal);
        long rows = windows.Sum(window => (long)window.Ids.Length);
        using var runner = new ModelRunner(model, loadBlock: index =>
        {
            IDecoderBlock block = model.LoadBlock(index);
            foreach (LinearSlot slot in block.Slots)
            {
                var sum = new double[slot.InFeatures];
                sums[names[$"{model.BlockName(index)}.{slot.Name}.weight"]] = sum;
                slot.InputObserver = input => Add(input, sum);
            }
            return block;
        });
        runner.Run([.. windows.Select(window => window.Ids)], (_, _) => { });
        return sums.ToDictionary(pair => pair.Key, pair => Array.ConvertAll(pair.Value, sum => (float)(sum / rows)), StringComparer.Ordinal);
    }

    private static void Add(Tensor input, double[] sums)
    {
        float[] values = input.ToArray();
        for (int i = 0; i < values.Length; i++) sums[i % sums.Length] += (double)values[i] * values[i];
    }
}
