using System.Numerics;
using LowRankQuant.Numerics;

namespace LowRankQuant.Quantization.Methods.Reconstruction;

/// <summary>Weights of tokens in a loss.</summary>
internal static class TokenWeights
{
    /// <summary>Whether tokens count otherwise than alike.</summary>
    public static bool AreNeeded(LossWeighting loss, IReadOnlyList<bool[]>? masks) => loss != LossWeighting.Plain || masks is not null;

    /// <summary>Weights of the tokens of windows that lie behind each other: those of the loss, and 0 where the mask of a window leaves a token out.</summary>
    /// <param name="weights">Filled, [windows * length].</param>
    /// <param name="target">[windows * length, hidden].</param>
    /// <param name="loss">How errors are summed.</param>
    /// <param name="masks">By the number of a window; null for all tokens.</param>
    /// <param name="windows">Numbers of the windows.</param>
    public static void Fill(Tensor weights, Tensor target, LossWeighting loss, IReadOnlyList<bool[]>? masks, ReadOnlySpan<int> windows)
    {
        if (loss == LossWeighting.Plain) weights.Span.Fill(1);
        else InverseMeanSquare(target, weights);
        if (masks is null) return;
        Span<float> values = weights.Span;
        int length = values.Length / windows.Length;
        for (int w = 0; w < windows.Length; w++)
        {
            bool[] mask = masks[windows[w]];
            for (int i = 0; i < length; i++)
            {
                if (!mask[i]) values[(w * length) + i] = 0;
            }
        }
    }

    /// <summary>Weights of the tokens of a window in a plain loss, [tokens]: 1, or 0 where the mask leaves one out; null without a mask. The caller's to dispose of.</summary>
    public static Tensor? OfMask(Device device, bool[]? mask) => mask is null ? null : device.From([.. mask.Select(counts => counts ? 1f : 0f)], mask.Length);

    /// <summary>weights[r] = 1 / mean over j of target[r, j]^2, at most 1e12: a token whose target is zero has no scale to be relative to.</summary>
    public static void InverseMeanSquare(Tensor target, Tensor weights)
    {
        const int rowsPerChunk = 32;
        int columns = target.Columns, rows = checked((int)weights.Count);
        target.Device.HostWorkers.Run((rows + rowsPerChunk - 1) / rowsPerChunk, chunk =>
        {
            ReadOnlySpan<float> values = target.Span;
            Span<float> result = weights.Span;
            for (int r = chunk * rowsPerChunk; r < Math.Min(rows, (chunk + 1) * rowsPerChunk); r++)
            {
                ReadOnlySpan<float> row = values.Slice(r * columns, columns);
                result[r] = 1f / Math.Max(SumOfSquares(row) / columns, 1e-12f);
            }
        });
    }

    private static float SumOfSquares(ReadOnlySpan<float> row)
    {
        var sum = Vector<float>.Zero;
        int i = 0;
        for (; i <= row.Length - Vector<float>.Count; i += Vector<float>.Count)
        {
            var x = new Vector<float>(row[i..]);
            sum += x * x;
        }
        float total = Vector.Sum(sum);
        for (; i < row.Length; i++) total += row[i] * row[i];
        return total;
    }
}
