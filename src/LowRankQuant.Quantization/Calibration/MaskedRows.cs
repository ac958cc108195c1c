using LowRankQuant.Numerics;

namespace LowRankQuant.Quantization.Calibration;

/// <summary>The rows of a window whose tokens count, in their order.</summary>
internal static class MaskedRows
{
    /// <summary>Shows them; nothing where none counts.</summary>
    /// <param name="x">[tokens, columns].</param>
    /// <param name="mask">Which count, [tokens]; null for all, which are shown as they are.</param>
    /// <param name="see">Given the rows, which are gone afterwards.</param>
    /// <exception cref="ArgumentException">Rows and mask differ in length.</exception>
    public static void See(Tensor x, bool[]? mask, Action<Tensor> see)
    {
        if (mask is null)
        {
            see(x);
            return;
        }
        using Tensor? chosen = Of(x, mask);
        if (chosen is not null) see(chosen);
    }

    /// <summary>A copy of them, [tokens that count, columns]; null where none counts.</summary>
    /// <param name="x">[tokens, columns].</param>
    /// <param name="mask">Which count, [tokens].</param>
    /// <exception cref="ArgumentException">Rows and mask differ in length.</exception>
    public static Tensor? Of(Tensor x, ReadOnlySpan<bool> mask)
    {
        if (mask.Length != x.Rows) throw new ArgumentException($"A mask of {mask.Length} tokens does not go with {x.Rows} rows.", nameof(mask));
        int count = mask.Count(true);
        if (count == 0) return null;
        Tensor chosen = x.Device.Empty(count, x.Columns);
        for (int row = 0, at = 0; row < mask.Length; row++)
        {
            if (mask[row]) x.Device.Kernels.Copy(x.RowRange(row, 1), chosen.RowRange(at++, 1));
        }
        return chosen;
    }

    /// <summary>Computes a loss of the tokens that count from their rows alone: the gradient of the others is 0.</summary>
    /// <param name="x">[tokens, columns].</param>
    /// <param name="gradient">Filled, of the same shape.</param>
    /// <param name="mask">Which count; null for all.</param>
    /// <param name="differentiate">Given rows, and where their gradient goes.</param>
    public static void Differentiate(Tensor x, Tensor gradient, bool[]? mask, Action<Tensor, Tensor> differentiate)
    {
        if (mask is null)
        {
            differentiate(x, gradient);
            return;
        }
        x.Device.Kernels.Fill(gradient, 0);
        using Tensor? chosen = Of(x, mask);
        if (chosen is null) return;
        using Tensor slope = x.Device.Empty(chosen.Rows, chosen.Columns);
        differentiate(chosen, slope);
        for (int row = 0, at = 0; row < mask.Length; row++)
        {
            if (mask[row]) x.Device.Kernels.Copy(slope.RowRange(at++, 1), gradient.RowRange(row, 1));
        }
    }
}
