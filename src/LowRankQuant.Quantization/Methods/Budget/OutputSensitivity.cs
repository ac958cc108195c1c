using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Quantization.Calibration;

namespace LowRankQuant.Quantization.Methods.Budget;

/// <summary>
/// How much the model's output distribution feels an error at the output of each linear layer. To second order KL(p || p') of a small change dy of
/// outputs is half dy^T F dy with the Fisher matrix F = E[g g^T], g = d(-log p(label))/dy for labels drawn from the model's own p. Only its diagonal,
/// averaged over tokens, is kept: KL per token = sum over outputs i of s_i E[dy_i^2], s_i = 1/2 mean g_i^2. One forward and one backward pass over a
/// few windows, one block in memory at a time. Where only some tokens count, the KL divergence is that of their distributions, per token that counts; errors of other tokens are felt by
/// way of attention, so that all outputs have a gradient.
/// </summary>
internal static class OutputSensitivity
{
    /// <summary>s of every linear, by module path, [outFeatures] each.</summary>
    /// <param name="model">The model in full precision.</param>
    /// <param name="windows">Token ids.</param>
    /// <param name="masks">Which tokens of every window count; null for all.</param>
    /// <param name="budget">Memory for activations.</param>
    /// <param name="scratch">Where activations go that do not fit.</param>
    /// <param name="seed">Draws the labels.</param>
    /// <param name="progress">Told blocks done and blocks in all, both passes together.</param>
    /// <param name="cancellation">Asks to stop.</param>
    public static Dictionary<string, double[]> Measure(
        CausalModel model, IReadOnlyList<int[]> windows, IReadOnlyList<bool[]>? masks, MemoryBudget budget, string scratch, ulong seed, Action<int, int> progress,
        CancellationToken cancellation)
    {
        int layers = model.Config.Layers;
        long tokens = masks?.Sum(mask => (long)mask.Count(counts => counts)) ?? (long)windows.Count * windows[0].Length;
        StreamedPasses made;
        using (InputEmbedding embedding = model.LoadEmbedding())
        {
            made = new StreamedPasses(model, embedding, windows, budget, scratch);
            made.Forward(windows, embedding, model.LoadBlock, cancellation, done => progress(done, 2 * layers));
        }
        using StreamedPasses passes = made;
        LabelGradients.AtHead(model, passes, masks, seed, cancellation);
        var sums = new Dictionary<string, (double[] Segment, double[] Total)>(StringComparer.Ordinal);
        // Of the block that gives its gradients.
        var current = new List<(double[] Segment, double[] Total)>();
        passes.Backward(
            Observed, cancellation,
            done =>
            {
                model.Device.Trim();
                progress(layers + done, 2 * layers);
            },
            EndWindow);
        double factor = 0.5 / tokens;
        return sums.ToDictionary(pair => pair.Key, pair => Array.ConvertAll(pair.Value.Total, sum => sum * factor), StringComparer.Ordinal);

        // The block with somebody who adds up the squares of the gradients of every output.
        IDecoderBlock Observed(int index)
        {
            IDecoderBlock block = model.LoadBlock(index);
            current.Clear();
            foreach (LinearSlot slot in block.Slots)
            {
                double[] squares = new double[slot.OutFeatures], total = new double[slot.OutFeatures];
                current.Add((squares, total));
                sums[$"{block.Name}.{slot.Name}"] = (squares, total);
                slot.OutputGradientObserver = slope =>
                {
                    float[] values = slope.ToArray();
                    for (int i = 0; i < values.Length; i++) squares[i % squares.Length] += (double)values[i] * values[i];
                };
            }
            return block;
        }

        void EndWindow(int window)
        {
            if (!WindowSegments.EndsSegment(window, windows.Count)) return;
            foreach ((double[] segment, double[] total) in current)
            {
                for (int i = 0; i < total.Length; i++) total[i] += segment[i];
                Array.Clear(segment);
            }
        }
    }
}
