using System.Numerics;

namespace LowRankQuant.Numerics.Kernels.Scalar;

/// <summary>Rotary position embedding: pairs (u, v) become (u cos - v sin, v cos + u sin); the inverse takes -sin.</summary>
internal static partial class Reference
{
    /// <param name="x">[rows, columns].</param>
    /// <param name="columns">heads * headSize.</param>
    /// <param name="cosine">[positions, half].</param>
    /// <param name="sine">[positions, half].</param>
    /// <param name="half">Pairs of a head.</param>
    /// <param name="headSize">Elements of a head.</param>
    /// <param name="interleaved">Pairs (2j, 2j + 1), else (j, j + half).</param>
    /// <param name="sequenceLength">Rows of a sequence.</param>
    /// <param name="positionOffset">Position of the first row of a sequence.</param>
    /// <param name="inverse">Rotate back.</param>
    /// <param name="y">[rows, columns]; may be x.</param>
    public static void Rotate<T>(
        ReadOnlySpan<T> x, int columns, ReadOnlySpan<T> cosine, ReadOnlySpan<T> sine, int half, int headSize, bool interleaved,
        int sequenceLength, int positionOffset, bool inverse, Span<T> y)
        where T : IFloatingPointIeee754<T>
    {
        for (int head = 0; head < x.Length; head += headSize)
        {
            int position = (head / columns % sequenceLength) + positionOffset;
            for (int j = 0; j < half; j++)
            {
                int first = head + (interleaved ? 2 * j : j), second = head + (interleaved ? (2 * j) + 1 : j + half);
                T u = x[first], v = x[second], cos = cosine[(position * half) + j], sin = sine[(position * half) + j];
                if (inverse) sin = -sin;
                y[first] = (u * cos) - (v * sin);
                y[second] = (v * cos) + (u * sin);
            }
            for (int j = 2 * half; j < headSize; j++) y[head + j] = x[head + j];
        }
    }
}
