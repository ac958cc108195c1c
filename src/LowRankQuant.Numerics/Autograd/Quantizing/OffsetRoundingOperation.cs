namespace LowRankQuant.Numerics.Autograd.Quantizing;

/// <summary>
/// The rounding of AutoRound (Cheng et al., 2309.05516): an offset V is learned for every weight, and how much of a group's range is kept at either end. With n = 2^bits - 1, h = 2^(bits-1)
/// and ends m = min(min W, 0), M = max(max W, 0) of a group:
/// <code>
/// asymmetric  lo = m a, hi = M b,  s = max((hi - lo) / n, floor), as it is stored,  z = round(-lo / s)
/// symmetric   N = -m a, P = M b,   s = N / h where P &lt; N, else -P / h, at least floor in magnitude, as it is stored,  z = h
/// both        q = clamp(round(W / s + V) + z, 0, n),  What = s (q - z)
/// </code>
/// Gradients, roundings counting as the identity and I = 1 where nothing was clipped:
/// <code>
/// dV = G s I        dz = sum G s (I - 1)        ds = sum G ((q - z) - I W / s) + dz lo / s^2
/// asymmetric  dhi = ds / n, dlo = -ds / n - dz / s, without ds where the floor holds;  da = dlo m, db = dhi M
/// symmetric   dz = 0;  dN = ds / h or dP = -ds / h, half of the latter to each where P = N;  da = -dN m, db = dP M
/// </code>
/// </summary>
public static class OffsetRoundingOperation
{
    // Groups that a thread takes at a time.
    private const int GroupsPerChunk = 64;

    /// <summary>What, [outFeatures, inFeatures].</summary>
    /// <param name="tape">Records the operation.</param>
    /// <param name="parameters">The weight, its grid and what is learned. Computed in host memory.</param>
    public static Variable RoundWithOffsets(this Tape tape, OffsetRoundingParameters parameters)
    {
        OffsetRoundingParameters p = parameters;
        Tensor rounded = tape.Rent(p.Weight.Shape);
        EachGroup(tape.Device, p, group =>
        {
            OffsetGrid grid = p.GridOf(group);
            (int first, int size) = (group * p.GroupSize, p.GroupSize);
            ReadOnlySpan<float> weight = p.Weight.Span.Slice(first, size), offset = p.Offset.Value.Span.Slice(first, size);
            Span<float> values = rounded.Span.Slice(first, size);
            for (int i = 0; i < size; i++) values[i] = grid.Step * (grid.Code(weight[i], offset[i], p.MaxCode) - grid.Zero);
        });
        Variable output = tape.Output(rounded, tape.Recording && p.Offset.RequiresGradient);
        tape.Record(output, () => Backward(tape, p, output.Gradient!));
        return output;
    }

    private static void Backward(Tape tape, OffsetRoundingParameters p, Tensor upstream)
    {
        Tensor dOffset = p.Offset.GradientTarget(tape, out _), dLow = p.Low.GradientTarget(tape, out _), dHigh = p.High.GradientTarget(tape, out _);
        EachGroup(tape.Device, p, group =>
        {
            OffsetGrid grid = p.GridOf(group);
            (int first, int size) = (group * p.GroupSize, p.GroupSize);
            ReadOnlySpan<float> g = upstream.Span.Slice(first, size), weight = p.Weight.Span.Slice(first, size), offset = p.Offset.Value.Span.Slice(first, size);
            Span<float> slope = dOffset.Span.Slice(first, size);
            double dStep = 0, dZero = 0;
            for (int i = 0; i < size; i++)
            {
                float scaled = weight[i] / grid.Step, code = MathF.Round(scaled + offset[i]) + grid.Zero;
                bool inside = code >= 0 && code <= p.MaxCode;
                slope[i] = inside ? g[i] * grid.Step : 0;
                if (!inside) dZero -= (double)g[i] * grid.Step;
                dStep += (double)g[i] * (Math.Clamp(code, 0, p.MaxCode) - grid.Zero - (inside ? scaled : 0));
            }
            (dLow.Span[group], dHigh.Span[group]) = p.EndsOf(group, grid, dStep, dZero);
        });
    }

    private static void EachGroup(Device device, OffsetRoundingParameters p, Action<int> work)
    {
        int groups = checked((int)p.Low.Value.Count);
        device.HostWorkers.Run((groups + GroupsPerChunk - 1) / GroupsPerChunk, chunk =>
        {
            for (int group = chunk * GroupsPerChunk; group < Math.Min(groups, (chunk + 1) * GroupsPerChunk); group++) work(group);
        });
    }
}

/// <summary>Step and zero point of a group whose ends are learned.</summary>
/// <param name="Step">s, negative where a symmetric group's largest weight is positive.</param>
/// <param name="Zero">z.</param>
/// <param name="IsFloored">Whether the step is the least there is, so that the ends do not move it.</param>
public readonly record struct OffsetGrid(float Step, int Zero, bool IsFloored)
{
    /// <summary>The code of a weight.</summary>
    public int Code(float weight, float offset, int maxCode) => (int)Math.Clamp(MathF.Round((weight / Step) + offset) + Zero, 0, maxCode);
}

/// <summary>What the rounding of one weight with offsets reads and learns. Each learned variable is used by one rounding only.</summary>
public sealed record OffsetRoundingParameters
{
    /// <summary>W, [outFeatures, inFeatures].</summary>
    public required Tensor Weight { get; init; }

    /// <summary>V, [outFeatures, inFeatures].</summary>
    public required Variable Offset { get; init; }

    /// <summary>a, [outFeatures, groups]; from 0 to 1.</summary>
    public required Variable Low { get; init; }

    /// <summary>b, [outFeatures, groups]; from 0 to 1.</summary>
    public required Variable High { get; init; }

    /// <summary>m of every group, at most 0.</summary>
    public required float[] Smallest { get; init; }

    /// <summary>M of every group, at least 0.</summary>
    public required float[] Largest { get; init; }

    /// <summary>n, 2^bits - 1.</summary>
    public required int MaxCode { get; init; }

    /// <summary>Whether the zero point is fixed at h.</summary>
    public required bool Symmetric { get; init; }

    /// <summary>From a step to the step as it is stored; counts as the identity in gradients.</summary>
    public required Func<float, float> Stored { get; init; }

    /// <summary>The least step.</summary>
    public float Floor { get; init; } = 1e-8f;

    /// <summary>Weights of a group.</summary>
    public int GroupSize => checked((int)(Weight.Count / Low.Value.Count));

    private int Half => (MaxCode + 1) / 2;

    /// <summary>The grid of a group as its ends are now.</summary>
    public OffsetGrid GridOf(int group)
    {
        float low = Smallest[group] * Low.Value.Span[group], high = Largest[group] * High.Value.Span[group];
        if (Symmetric)
        {
            float signed = (high < -low ? -low : -high) / Half;
            bool least = Math.Abs(signed) < Floor;
            return new OffsetGrid(Stored(least ? (signed < 0 ? -Floor : Floor) : signed), Half, least);
        }
        float step = (high - low) / MaxCode;
        bool floored = step < Floor;
        step = Stored(Math.Max(step, Floor));
        return new OffsetGrid(step, (int)Math.Clamp(MathF.Round(-low / step), 0, MaxCode), floored);
    }

    /// <summary>Gradients of a and b from those of step and zero point.</summary>
    internal (float Low, float High) EndsOf(int group, OffsetGrid grid, double dStep, double dZero)
    {
        double low = Smallest[group] * (double)Low.Value.Span[group], high = Largest[group] * (double)High.Value.Span[group];
        if (Symmetric)
        {
            if (grid.IsFloored) return default;
            double slope = dStep / Half;
            if (high < -low) return ((float)(-slope * Smallest[group]), 0);
            if (high > -low) return (0, (float)(-slope * Largest[group]));
            return ((float)(slope / 2 * Smallest[group]), (float)(-slope / 2 * Largest[group]));
        }
        double all = grid.IsFloored ? 0 : (dStep + (dZero * low / ((double)grid.Step * grid.Step))) / MaxCode;
        return ((float)((-all - (dZero / grid.Step)) * Smallest[group]), (float)(all * Largest[group]));
    }
}
