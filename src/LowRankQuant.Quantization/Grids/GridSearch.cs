using System.Numerics;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Grids;

/// <summary>
/// First grids of a weight, computed in 32-bit floats in the order of operations of LRQ's released code:
/// <code>
/// from a range    s = max((max - min) / (2^b - 1), 1e-8),  z = clamp(-round(min / s), 0, 2^b - 1)
/// 2D search       for i = 1..100, zp = 0..2^b-1: span = (max - min) / 100 i, d = span / (2^b - 1), range [-(zp d), span - zp d];
///                 max and min are widened to hold 0
/// 1D search       a tensor of one sign: threshold = max(|min|, max) / 100 i
/// symmetric       s = 2 max|W| / (2^b - 1); its search shrinks max|W| in 100 steps
/// </code>
/// A search keeps the first candidate with the smallest mean of |W - What|^2.4.
/// </summary>
public static class GridSearch
{
    private const float SmallestStep = 1e-8f;
    private const int Candidates = 100;

    /// <summary>Finds the first grid of a weight.</summary>
    /// <param name="weight">[outFeatures, inFeatures], row-major.</param>
    /// <param name="inFeatures">Columns.</param>
    /// <param name="grid">Bits, symmetry and granularity.</param>
    /// <param name="start">Plain range or search.</param>
    /// <param name="workers">Threads; lines are independent, so their number changes nothing.</param>
    public static GridParameters Find(ReadOnlyMemory<float> weight, int inFeatures, UniformGrid grid, GridStart start, WorkerPool workers)
    {
        int line = grid.Granularity switch
        {
            Granularity.Tensor => weight.Length,
            Granularity.Channel => inFeatures,
            _ => grid.GroupSize,
        };
        int lines = weight.Length / line;
        var steps = new float[lines];
        var zeros = new byte[lines];
        (float min, float max) whole = Range(weight.Span);
        bool oneSided = whole.min >= 0 || whole.max <= 0;
        const int perChunk = 8;
        workers.Run((lines + perChunk - 1) / perChunk, chunk =>
        {
            for (int i = chunk * perChunk; i < Math.Min(lines, (chunk + 1) * perChunk); i++)
            {
                GridCandidate found = FindLine(weight.Span.Slice(i * line, line), grid, start, oneSided);
                steps[i] = found.Step;
                zeros[i] = found.Zero;
            }
        });
        return new GridParameters(steps, zeros);
    }

    /// <summary>Finds the grid of one line of weights that share a scale.</summary>
    internal static GridCandidate FindLine(ReadOnlySpan<float> line, UniformGrid grid, GridStart start, bool oneSided)
    {
        (float min, float max) = Range(line);
        if (grid.Symmetric) return Symmetric(line, grid, start, Math.Max(-min, max));
        if (start == GridStart.MinMax) return FromRange(min, max, grid.MaxCode);
        return oneSided ? SearchThreshold(line, grid.MaxCode, min, max) : SearchRange(line, grid.MaxCode, min, max);
    }

    private static (float Min, float Max) Range(ReadOnlySpan<float> line)
    {
        float min = float.PositiveInfinity, max = float.NegativeInfinity;
        foreach (float w in line)
        {
            min = Math.Min(min, w);
            max = Math.Max(max, w);
        }
        return (min, max);
    }

    private static GridCandidate FromRange(float min, float max, int maxCode)
    {
        float low = Math.Min(min, 0f), high = Math.Max(max, 0f);
        float step = Math.Max((high - low) / maxCode, SmallestStep);
        return new GridCandidate(step, (byte)Math.Clamp(-MathF.Round(low / step), 0f, maxCode));
    }

    private static GridCandidate SearchThreshold(ReadOnlySpan<float> line, int maxCode, float min, float max)
    {
        GridCandidate best = default;
        float range = Math.Max(Math.Abs(min), max), bestScore = float.PositiveInfinity;
        for (int i = 1; i <= Candidates; i++)
        {
            float threshold = range / Candidates * i;
            GridCandidate candidate = FromRange(min < 0 && max <= 0 ? -threshold : 0f, min < 0 && max <= 0 ? 0f : threshold, maxCode);
            Keep(line, maxCode, candidate with { Index = i }, ref best, ref bestScore);
        }
        return best with { Score = bestScore };
    }

    private static GridCandidate SearchRange(ReadOnlySpan<float> line, int maxCode, float min, float max)
    {
        GridCandidate best = default;
        // Widened to hold 0: the range of a line of one sign says nothing about where it lies.
        float range = Math.Max(max, 0f) - Math.Min(min, 0f), bestScore = float.PositiveInfinity;
        for (int i = 1; i <= Candidates; i++)
        {
            float span = range / Candidates * i, delta = span / maxCode;
            for (int zp = 0; zp <= maxCode; zp++)
            {
                GridCandidate candidate = FromRange(-(zp * delta), span - (zp * delta), maxCode);
                Keep(line, maxCode, candidate with { Index = i, ZeroCandidate = zp }, ref best, ref bestScore);
            }
        }
        return best with { Score = bestScore };
    }

    private static GridCandidate Symmetric(ReadOnlySpan<float> line, UniformGrid grid, GridStart start, float largest)
    {
        byte zero = (byte)grid.SymmetricZero;
        if (start == GridStart.MinMax) return new GridCandidate(Math.Max(2 * largest / grid.MaxCode, SmallestStep), zero);
        GridCandidate best = default;
        float bestScore = float.PositiveInfinity;
        for (int i = 1; i <= Candidates; i++)
        {
            float step = Math.Max(2 * (largest / Candidates * i) / grid.MaxCode, SmallestStep);
            Keep(line, grid.MaxCode, new GridCandidate(step, zero) { Index = i }, ref best, ref bestScore);
        }
        return best with { Score = bestScore };
    }

    private static void Keep(ReadOnlySpan<float> line, int maxCode, GridCandidate candidate, ref GridCandidate best, ref float bestScore)
    {
        float score = MeanError(line, candidate.Step, candidate.Zero, maxCode);
        if (!(score < bestScore)) return;
        best = candidate;
        bestScore = score;
    }

    /// <summary>Mean of |w - q s|^2.4 with q = clamp(round(w / s), -zero, maxCode - zero).</summary>
    internal static float MeanError(ReadOnlySpan<float> line, float step, int zero, int maxCode)
    {
        var s = new Vector<float>(step);
        var low = new Vector<float>(-zero);
        var high = new Vector<float>(maxCode - zero);
        var sum = Vector<double>.Zero;
        int i = 0;
        for (; i <= line.Length - Vector<float>.Count; i += Vector<float>.Count)
        {
            var w = new Vector<float>(line[i..]);
            Vector<float> q = Vector.Min(Vector.Max(Vector.Round(w / s), low), high);
            Vector<float> error = Vector.Abs(w - (q * s));
            // |e|^2.4 = exp(2.4 ln |e|); the logarithm of 0 is minus infinity and its power 0.
            Vector<float> power = Vector.Exp(2.4f * Vector.Log(error));
            Vector.Widen(power, out Vector<double> lower, out Vector<double> upper);
            sum += lower + upper;
        }
        double total = Vector.Sum(sum);
        for (; i < line.Length; i++)
        {
            float q = Math.Clamp(MathF.Round(line[i] / step), -zero, maxCode - zero);
            total += Math.Pow(Math.Abs(line[i] - (q * step)), 2.4);
        }
        return (float)(total / line.Length);
    }
}

/// <summary>A step and zero point, and how a search came to them.</summary>
/// <param name="Step">s.</param>
/// <param name="Zero">z.</param>
internal readonly record struct GridCandidate(float Step, byte Zero)
{
    /// <summary>i of the winning candidate, 1..100; 0 without a search.</summary>
    public int Index { get; init; }

    /// <summary>zp of the winning candidate.</summary>
    public int ZeroCandidate { get; init; }

    /// <summary>Mean of |W - What|^2.4.</summary>
    public float Score { get; init; }
}
