using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Grids;

/// <summary>
/// Block scale, block minimum and integers of one block of 256 weights x with importance v. Notation: q the code less its zero, value s q - a.
/// <code>
/// plain      every group's range gives s and a; d = s of the largest group / largest integer, dmin likewise; integers to nearest
/// refined    1. every group: s and a of several shrunk ranges, each improved by least squares over its codes (<see cref="GroupFit"/>); the best
///            2. d = largest s / K for a few K, dmin = largest a / largest integer
///            3. integers: of the neighbours of s / d and a / dmin, those with the least error
///            4. (d, dmin) = argmin sum v (x - d sc q + dmin m)^2, rounded to halves; back to 3 while the error falls
/// </code>
/// Integers of scales are never 0, so that a step can be learned from; a group of one value loses nothing by it.
/// </summary>
/// <param name="grid">The grid.</param>
internal sealed class TwoLevelBlockSearch(TwoLevelGrid grid)
{
    private const int Divisors = 4;
    private const int Rounds = 6;

    // d of a block of zeros: any would do, a normal number cannot surprise anybody.
    private static readonly Half ScaleOfZeros = (Half)6.103515625e-05f;
    private readonly float[] _ones = [.. Enumerable.Repeat(1f, TwoLevelGrid.BlockSize)];
    private readonly float _low = grid.Symmetric ? -grid.SymmetricZero : 0;
    private readonly float _high = grid.Symmetric ? grid.MaxCode - grid.SymmetricZero : grid.MaxCode;

    /// <summary>Searches.</summary>
    /// <param name="weight">The block, [256].</param>
    /// <param name="importance">Importance of every input, [256], or empty.</param>
    /// <param name="start">Plain or refined.</param>
    /// <exception cref="ArgumentOutOfRangeException">A weight is not finite, or too large for block scales in halves.</exception>
    public BlockScales Find(ReadOnlySpan<float> weight, ReadOnlySpan<float> importance, GridStart start)
    {
        if (importance.IsEmpty) importance = _ones;
        Span<GroupFit> fits = stackalloc GroupFit[grid.GroupsPerBlock];
        float step = 0, minimum = 0;
        for (int group = 0; group < fits.Length; group++)
        {
            GroupFit fit = GroupFit.FromRange(Group(weight, group), _low, _high);
            fits[group] = start == GridStart.MinMax ? fit : fit.Refine(Group(weight, group), Group(importance, group), _low, _high);
            if (Math.Abs(fits[group].Step) > Math.Abs(step)) step = fits[group].Step;
            minimum = Math.Max(minimum, fits[group].Minimum);
        }
        Half dmin = grid.Symmetric ? (Half)0 : HalfScale.RoundMinimum(minimum / grid.MaxMinimum);
        if (start == GridStart.MinMax) return Nearest(weight, importance, fits, FirstScale(step, 0), dmin);
        BlockScales? best = null;
        for (int divisor = 0; divisor < Divisors; divisor++)
        {
            BlockScales found = Improve(weight, importance, Nearest(weight, importance, fits, FirstScale(step, divisor), dmin));
            if (best is null || found.Error < best.Error) best = found;
        }
        return best!;
    }

    // The largest integer is the one farthest from 0: a symmetric grid reaches one step further down than up, and d takes the sign that makes use of it.
    private Half FirstScale(float step, int divisor)
    {
        if (step == 0) return ScaleOfZeros;
        int largest = grid.Symmetric ? grid.MinScale : grid.MaxScale;
        return HalfScale.Round(step / (largest - (Math.Sign(largest) * divisor * Math.Max(1, Math.Abs(largest) / 16))));
    }

    private BlockScales Nearest(ReadOnlySpan<float> weight, ReadOnlySpan<float> importance, ReadOnlySpan<GroupFit> fits, Half scale, Half minimum)
    {
        var scales = new sbyte[fits.Length];
        var minima = new byte[fits.Length];
        double error = 0;
        for (int group = 0; group < fits.Length; group++)
        {
            int integer = (int)Math.Clamp(MathF.Round(fits[group].Step / (float)scale), grid.MinScale, grid.MaxScale);
            scales[group] = (sbyte)(integer != 0 ? integer : 1);
            minima[group] = minimum == (Half)0 ? (byte)0 : (byte)Math.Clamp(MathF.Round(fits[group].Minimum / (float)minimum), 0, grid.MaxMinimum);
            error += Error(weight, importance, group, scale, minimum, scales[group], minima[group], double.PositiveInfinity);
        }
        return new BlockScales(scale, minimum, scales, minima, error);
    }

    private BlockScales Improve(ReadOnlySpan<float> weight, ReadOnlySpan<float> importance, BlockScales start)
    {
        BlockScales best = BestNeighbours(weight, importance, start);
        for (int round = 0; round < Rounds; round++)
        {
            (Half scale, Half minimum) = LeastSquares(weight, importance, best);
            if (scale == best.Scale && minimum == best.Minimum) break;
            BlockScales next = BestNeighbours(weight, importance, best with { Scale = scale, Minimum = minimum });
            if (!(next.Error < best.Error)) break;
            best = next;
        }
        return best;
    }

    /// <summary>The integers within one of the given ones that leave the least error, group by group.</summary>
    private BlockScales BestNeighbours(ReadOnlySpan<float> weight, ReadOnlySpan<float> importance, BlockScales around)
    {
        var scales = new sbyte[around.GroupScales.Length];
        var minima = new byte[scales.Length];
        double error = 0;
        for (int group = 0; group < scales.Length; group++)
        {
            int scaleHere = around.GroupScales[group], minimumHere = around.GroupMinima[group];
            double best = double.PositiveInfinity;
            for (int scale = Math.Max(scaleHere - 1, grid.MinScale); scale <= Math.Min(scaleHere + 1, grid.MaxScale); scale++)
            {
                if (scale == 0) continue;
                int last = around.Minimum == (Half)0 ? 0 : Math.Min(minimumHere + 1, grid.MaxMinimum);
                for (int minimum = Math.Max(minimumHere - 1, 0); minimum <= last; minimum++)
                {
                    double here = Error(weight, importance, group, around.Scale, around.Minimum, scale, minimum, best);
                    if (!(here < best)) continue;
                    best = here;
                    scales[group] = (sbyte)scale;
                    minima[group] = (byte)minimum;
                }
            }
            error += best;
        }
        return new BlockScales(around.Scale, around.Minimum, scales, minima, error);
    }

    /// <summary>d and dmin with the least error for the integers and codes as they are, as halves; the old ones where there is no such pair.</summary>
    private (Half Scale, Half Minimum) LeastSquares(ReadOnlySpan<float> weight, ReadOnlySpan<float> importance, BlockScales found)
    {
        // Normal equations of x = d A - dmin B with A = sc q, B = m.
        double aa = 0, ab = 0, bb = 0, xa = 0, xb = 0;
        for (int group = 0; group < found.GroupScales.Length; group++)
        {
            int scale = found.GroupScales[group], minimum = found.GroupMinima[group];
            var fit = new GroupFit((float)found.Scale * scale, (float)found.Minimum * minimum);
            CodeMoments sums = fit.Moments(Group(weight, group), Group(importance, group), _low, _high);
            aa += (double)scale * scale * sums.CodeCode;
            ab += (double)scale * minimum * sums.Code;
            bb += (double)minimum * minimum * sums.One;
            xa += scale * (double)sums.ValueCode;
            xb += minimum * (double)sums.Value;
        }
        double determinant = (aa * bb) - (ab * ab);
        double d = bb == 0 ? xa / aa : ((bb * xa) - (ab * xb)) / determinant, dmin = bb == 0 ? (double)found.Minimum : ((ab * xa) - (aa * xb)) / determinant;
        bool sound = double.IsFinite(d) && double.IsFinite(dmin) && Math.Sign(d) == Math.Sign((double)found.Scale) && dmin >= 0;
        return sound ? (HalfScale.Round((float)d), HalfScale.RoundMinimum((float)dmin)) : (found.Scale, found.Minimum);
    }

    private double Error(
        ReadOnlySpan<float> weight, ReadOnlySpan<float> importance, int group, Half d, Half dmin, int scale, int minimum, double limit) =>
        new GroupFit((float)d * scale, (float)dmin * minimum).Error(Group(weight, group), Group(importance, group), _low, _high, limit);

    private ReadOnlySpan<float> Group(ReadOnlySpan<float> block, int group) => block.Slice(group * grid.GroupSize, grid.GroupSize);
}
