using System.Numerics;
using LowRankQuant.Numerics;

namespace LowRankQuant.Benchmarks;

/// <summary>
/// A generated weight whose singular values fall off as those of real ones do: normal numbers, and above their bulk terms of rank one that shrink with the square root of their
/// number. Every row has a seed of its own, so that rows can be made in any order.
/// </summary>
/// <param name="seed">Its seed.</param>
/// <param name="columns">Inputs.</param>
internal sealed class SpectralMatrix(ulong seed, int columns)
{
    private const int Spikes = 48;
    private const double Bulk = 0.02;
    private const double Spike = 0.01;
    private readonly float[] _right = RightVectors(seed, columns);

    /// <summary>Writes row <paramref name="index"/> to <paramref name="line"/> [columns].</summary>
    public void Row(int index, Span<float> line)
    {
        SeededRandom own = SeededRandom.Derive(seed, 5, (ulong)index);
        foreach (ref float value in line) value = (float)(Bulk * own.NextGaussian());
        for (int spike = 0; spike < Spikes; spike++)
        {
            float factor = (float)(Spike * own.NextGaussian() / Math.Sqrt(1 + spike));
            AddScaled(_right.AsSpan(spike * columns, columns), factor, line);
        }
    }

    private static void AddScaled(ReadOnlySpan<float> vector, float factor, Span<float> line)
    {
        int i = 0;
        for (; i <= line.Length - Vector<float>.Count; i += Vector<float>.Count)
            (new Vector<float>(line[i..]) + (new Vector<float>(vector[i..]) * factor)).CopyTo(line[i..]);
        for (; i < line.Length; i++) line[i] += vector[i] * factor;
    }

    private static float[] RightVectors(ulong seed, int columns)
    {
        SeededRandom random = SeededRandom.Derive(seed, 6);
        return [.. Enumerable.Range(0, Spikes * columns).Select(_ => (float)random.NextGaussian())];
    }
}
