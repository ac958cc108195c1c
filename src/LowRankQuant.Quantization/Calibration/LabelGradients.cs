using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Quantization.Calibration;

/// <summary>
/// Gradients g = d(-log p(label)) for labels drawn from the model's own p. Their second moments are the Fisher matrix: to second order KL(p || p') of a small change dy of something in
/// the model is half dy^T E[g g^T] dy.
/// </summary>
internal static class LabelGradients
{
    private const ulong SeedPath = 0x46495348;

    /// <summary>Turns the last hidden states of passes into their gradients.</summary>
    /// <param name="model">Gives the head.</param>
    /// <param name="passes">Windows that have gone forward; backward comes next.</param>
    /// <param name="masks">Which tokens of every window have a label, those that count; null for all.</param>
    /// <param name="seed">Draws the labels.</param>
    /// <param name="cancellation">Asks to stop.</param>
    public static void AtHead(CausalModel model, StreamedPasses passes, IReadOnlyList<bool[]>? masks, ulong seed, CancellationToken cancellation)
    {
        Device device = model.Device;
        using OutputHead head = model.LoadHead();
        passes.Head(
            (window, hidden, gradient) => MaskedRows.Differentiate(hidden, gradient, masks?[window], (states, slopes) => OfWindow(window, states, slopes)),
            cancellation);

        void OfWindow(int window, Tensor hidden, Tensor gradient)
        {
            using var tape = new Tape(device, recording: true);
            Variable logits = head.Logits(tape, new Variable(hidden, gradient));
            int[] labels = Draw(logits.Value, SeededRandom.Derive(seed, SeedPath, (ulong)window));
            using Tensor loss = device.Empty(hidden.Rows), logSumExp = device.Empty(hidden.Rows);
            device.Kernels.CrossEntropyForward(logits.Value, labels, loss, logSumExp);
            using Tensor slope = device.Empty(hidden.Rows, logits.Value.Columns);
            device.Kernels.CrossEntropyBackward(logits.Value, labels, logSumExp, 1, slope);
            tape.Backward(logits, slope);
        }
    }

    // One label per position from the softmax of its logits.
    private static int[] Draw(Tensor logits, SeededRandom random)
    {
        float[] values = logits.ToArray();
        int columns = logits.Columns;
        var labels = new int[logits.Rows];
        for (int row = 0; row < labels.Length; row++)
        {
            ReadOnlySpan<float> line = values.AsSpan(row * columns, columns);
            float largest = float.NegativeInfinity;
            foreach (float value in line) largest = Math.Max(largest, value);
            double sum = 0;
            foreach (float value in line) sum += Math.Exp(value - largest);
            double rest = random.NextUniform() * sum;
            int label = 0;
            for (; label < columns - 1; label++)
            {
                rest -= Math.Exp(line[label] - largest);
                if (rest < 0) break;
            }
            labels[row] = label;
        }
        return labels;
    }
}
