using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;
using LowRankQuant.Quantization.Calibration;

namespace LowRankQuant.Quantization.Methods.Reconstruction;

/// <summary>
/// How much the model's next-token distribution feels an error of a block's output in every direction. To second order KL(p || p') of a small change e of the output of a token is
/// half e^T F e with the Fisher matrix F = E[g g^T], g = d(-log p(label))/dY for labels drawn from the model's own p. Tokens of large outputs have small gradients, so F is
/// averaged in units of the relative loss:
/// <code>M = mean over tokens of (y_t^2 g_t g_t^T), y_t^2 the mean square of the token's output, no token above four medians, times d / tr M;   M' = (1 - share) M + share I</code>
/// over the tokens that count, whose labels alone are drawn,
/// and the loss of a token is e_t^T M' e_t / y_t^2. One forward and one backward pass over a few windows, one block in memory at a time. Block reconstruction weighted by the
/// diagonal of F is BRECQ (Li et al., ICLR 2021); a full F between channels is the output factor of K-FAC, which YAQA (Tseng et al., 2025) rounds by.
/// </summary>
internal static class OutputMetric
{
    /// <summary>Tokens that it is measured on.</summary>
    public const int Tokens = 16384;

    // Of the identity: directions that a few thousand gradients do not show are felt too. Chosen on the demo (docs/results/lrq-plus.md).
    private const double Share = 0.1;

    // A token counts at most as much as so many of the middle: the few that hold massive activations, on which all others lean, would be nearly all of M (docs/results/lrq-plus.md).
    private const float MostOfMedian = 4;

    /// <summary>M' of every block, [hidden, hidden].</summary>
    /// <param name="context">The model in full precision, and what it is calibrated on.</param>
    public static float[][] Measure(ModelPlanContext context)
    {
        CausalModel model = context.Model;
        int layers = model.Config.Layers, hidden = model.Config.HiddenSize;
        int[][] windows = context.Windows;
        bool[][]? masks = context.Masks;
        var squares = new float[layers, windows.Length][];
        using InputEmbedding embedding = model.LoadEmbedding();
        using var passes = new StreamedPasses(model, embedding, windows, context.Activations, context.Scratch);
        passes.Forward(
            windows, embedding, model.LoadBlock, context.Cancellation, done => context.Progress?.Invoke(ModelPlanContext.Measuring, done, 2 * layers),
            (block, window, output) =>
            {
                using Tensor inverse = model.Device.Empty(output.Rows);
                TokenWeights.InverseMeanSquare(output, inverse);
                squares[block, window] = [.. inverse.ToArray().Select(weight => 1 / weight)];
            });
        LabelGradients.AtHead(model, passes, masks, context.Seed, context.Cancellation);
        var metrics = new float[layers][];
        double[] sum = [];
        passes.Backward(
            model.LoadBlock, context.Cancellation, done => context.Progress?.Invoke(ModelPlanContext.Measuring, layers + done, 2 * layers),
            see: (block, window, slope) =>
            {
                if (window == 0) sum = new double[hidden * hidden];
                float[] own = squares[block, window];
                if (masks?[window] is { } mask) own = [.. own.Where((_, token) => mask[token])];
                MaskedRows.See(slope, masks?[window], rows => Add(model.Device, rows, own, sum));
                if (window == windows.Length - 1) metrics[block] = Damped(sum, hidden);
            });
        return metrics;
    }

    private static void Add(Device device, Tensor slope, float[] squares, double[] sum)
    {
        int hidden = slope.Columns;
        float[] values = slope.ToArray(), sizes = new float[slope.Rows];
        for (int i = 0; i < values.Length; i++) sizes[i / hidden] += values[i] * values[i] * squares[i / hidden];
        float most = MostOfMedian * sizes.Order().ElementAt(sizes.Length / 2);
        for (int i = 0; i < values.Length; i++)
        {
            int token = i / hidden;
            values[i] *= MathF.Sqrt(squares[token] * (sizes[token] > most ? most / sizes[token] : 1));
        }
        using Tensor scaled = device.From(values, slope.Rows, hidden), product = device.Empty(hidden, hidden);
        device.Kernels.MatMul(scaled, true, scaled, false, product, accumulate: false);
        float[] part = product.ToArray();
        for (int i = 0; i < sum.Length; i++) sum[i] += part[i];
    }

    private static float[] Damped(double[] sum, int hidden)
    {
        double trace = 0;
        for (int i = 0; i < hidden; i++) trace += sum[(i * hidden) + i];
        var metric = new float[sum.Length];
        double factor = trace > 0 ? (1 - Share) * hidden / trace : 0;
        for (int i = 0; i < metric.Length; i++) metric[i] = (float)(factor * sum[i]);
        for (int i = 0; i < hidden; i++) metric[(i * hidden) + i] += (float)(trace > 0 ? Share : 1);
        return metric;
    }
}
