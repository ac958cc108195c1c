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

    // Of the ranges, every such many is tried before all are.
    private const int CoarseStep = 9;

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
        if (start == GridStart.MinMax)
            return grid.Symmetric ? SymmetricFromLargest(Math.Max(-min, max), grid) : FromRange(min, max, grid.MaxCode);
        if (grid.Symmetric)
        {
            float largest = Math.Max(-min, max);
            return Search(line, grid.MaxCode, 1, (i, _) => SymmetricFromLargest(largest / Candidates * i, grid));
        }
        if (oneSided)
        {
            bool negative = min < 0 && max <= 0;
            float range = Math.Max(Math.Abs(min), max);
            return Search(line, grid.MaxCode, 1, (i, _) =>
            {
                float threshold = range / Candidates * i;
                return FromRange(negative ? -threshold : 0f, negative ? 0f : threshold, grid.MaxCode);
            });
        }
        // Widened to hold 0: the range of a line of one sign says nothing about where it lies.
        float whole = Math.Max(max, 0f) - Math.Min(min, 0f);
        return Search(line, grid.MaxCode, grid.MaxCode + 1, (i, zp) =>
        {
            float span = whole / Candidates * i, delta = span / grid.MaxCode;
            return FromRange(-(zp * delta), span - (zp * delta), grid.MaxCode);
        });
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

    private static GridCandidate SymmetricFromLargest(float largest, UniformGrid grid) =>
        new(Math.Max(2 * largest / grid.MaxCode, SmallestStep), (byte)grid.SymmetricZero);

    // The first candidate with the smallest score, by i, then zp. Most are dismissed by their squared errors: the limit is the score of some candidate,
    // from a coarse look at first, so the winner is never above it.
    private static GridCandidate Search(ReadOnlySpan<float> line, int maxCode, int zeros, Func<int, int, GridCandidate> at)
    {
        double limit = double.PositiveInfinity;
        float lowest = float.PositiveInfinity;
        for (int i = Candidates; i > 0; i -= CoarseStep)
        {
            for (int zp = 0; zp < zeros; zp++) Score(line, maxCode, at(i, zp), ref lowest, ref limit);
        }
        GridCandidate best = default;
        float bestScore = float.PositiveInfinity;
        for (int i = 1; i <= Candidates; i++)
        {
            for (int zp = 0; zp < zeros; zp++)
            {
                GridCandidate candidate = at(i, zp);
                float score = Score(line, maxCode, candidate, ref lowest, ref limit);
                if (!(score < bestScore)) continue;
                best = candidate with { Index = i, ZeroCandidate = zp, Score = score };
                bestScore = score;
            }
        }
        return best;
    }

    // The score of a candidate, or infinity where it is above the lowest so far.
    private static float Score(ReadOnlySpan<float> line, int maxCode, GridCandidate candidate, ref float lowest, ref double limit)
    {
        if (GridScore.Exceeds(limit, line, candidate.Step, candidate.Zero, maxCode)) return float.PositiveInfinity;
        float score = GridScore.Mean(line, candidate.Step, candidate.Zero, maxCode);
        if (score < lowest)
        {
            lowest = score;
            limit = GridScore.SquareLimit(score, line.Length);
        }
        return score;
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
