using LowRankQuant.Numerics.Kernels.Simd.Functions;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>
/// The LRQ fake quantizer. With e = exp(log s1 + D), computed once per element, the code is round(W / e) and the residue W exp(-D) is taken as
/// (W / e) exp(log s1): one division serves both. Without delta, r2 and c2 there is no exponential per element, as e = exp(log s1).
/// </summary>
internal sealed unsafe partial class VectorKernels<V, D>
{
    public void FakeQuantizeForward(in FakeQuantizeArguments arguments)
    {
        var p = new FakeQuantizePointers(arguments);
        ForRows(p.Rows, p.Columns, (_, first, end) =>
        {
            for (int r = first; r < end; r++)
            {
                for (int g = 0; g < p.Groups; g++) QuantizeGroup(p, r, g);
            }
        });
    }

    public void FakeQuantizeBackward(in FakeQuantizeArguments arguments, in FakeQuantizeGradients gradients)
    {
        var p = new FakeQuantizePointers(arguments);
        float* upstream = gradients.Upstream.Pointer, dScale = gradients.LogScale.Pointer;
        float* dOffset = gradients.Offset is null ? null : gradients.Offset.Pointer, dZero = gradients.Zero is null ? null : gradients.Zero.Pointer;
        float* dDelta = gradients.Delta is null ? null : gradients.Delta.Pointer;
        float* dRow = gradients.RowOffset is null ? null : gradients.RowOffset.Pointer;
        int chunks = Chunks(p.Rows, RowsPerChunk(p.Rows, p.Columns));
        using ScratchPool.Lease lease = _scratch.Rent(gradients.ColumnOffset is null ? 0 : (long)chunks * p.Columns);
        float* partial = gradients.ColumnOffset is null ? null : lease.Pointer;
        ForRows(p.Rows, p.Columns, (chunk, first, end) =>
        {
            float* columns = partial == null ? null : partial + ((long)chunk * p.Columns);
            if (columns != null) Clear(columns, p.Columns);
            for (int r = first; r < end; r++)
            {
                float rowSum = 0;
                for (int g = 0; g < p.Groups; g++)
                {
                    // First, for dD may overwrite G.
                    if (p.Slope != null) OffsetGroupBackward(p, r, g, upstream, dOffset, dZero);
                    rowSum += QuantizeGroupBackward(p, r, g, upstream, dDelta, columns, out dScale[((long)r * p.Groups) + g]);
                }
                if (dRow != null) dRow[r] = rowSum;
            }
        });
        if (gradients.ColumnOffset is not null) SumPartials(partial, chunks, p.Columns, gradients.ColumnOffset.Pointer, accumulate: false);
    }

    private static void QuantizeGroup(in FakeQuantizePointers p, int row, int group)
    {
        int start = group * p.GroupSize, n = p.GroupSize;
        long at = ((long)row * p.Columns) + start, step = ((long)row * p.Groups) + group;
        float* weight = p.Weight + at, quantized = p.Quantized + at;
        float* delta = p.Delta == null ? null : p.Delta + at, residue = p.Residue == null ? null : p.Residue + at;
        float* column = p.ColumnOffset == null ? null : p.ColumnOffset + start;
        bool scaled = delta != null || column != null || p.RowOffset != null;
        V logScale = V.Create(p.LogScale[step]), scale = SimdMath.Exp(logScale);
        float whole = MathF.Round(p.Zero[step]);
        V low = V.Create(-whole), high = V.Create(p.MaxCode - whole), fraction = V.Create(p.Zero[step] - whole);
        V rowOffset = V.Create(p.RowOffset == null ? 0 : p.RowOffset[row]);
        V divisor = scale;
        bool floats = p.Floats is not null;
        FloatRounding<V> rounding = floats ? new FloatRounding<V>(p.Floats!) : default;
        if (floats) (low, high, fraction) = (V.Zero - rounding.Largest, rounding.Largest, V.Zero);
        for (int j = 0; j < n; j += V.Count)
        {
            int left = n - j;
            if (scaled)
            {
                V d = delta == null ? rowOffset : V.Load(delta + j, left) + rowOffset;
                if (column != null) d += V.Load(column + j, left);
                divisor = SimdMath.Exp(logScale + d);
            }
            V ratio = V.Load(weight + j, left) / divisor;
            V shifted = p.Offset == null ? ratio + fraction : ratio + fraction + V.Load(p.Offset + at + j, left);
            V code = floats ? rounding.RoundOpen(ratio) : V.Round(shifted);
            V within = V.LessThanOrEqual(low, code) & V.LessThanOrEqual(code, high);
            if (p.Slope != null) (scale & within).Store(p.Slope + at + j, left);
            if (p.Softness > 0) code = OnRamp(shifted, code, p.Softness);
            ((V.Min(high, V.Max(low, code)) - fraction) * scale).Store(quantized + j, left);
            if (residue != null) (ratio * scale & within).Store(residue + j, left);
        }
    }

    // The nearest integer, or what the ramp at the border of its cell gives.
    private static V OnRamp(V value, V nearest, float softness)
    {
        V distance = value - nearest, zone = V.Create(0.5f - softness), size = V.Abs(distance);
        V over = (size - zone) / V.Create(2 * softness);
        V sign = V.Select(V.LessThan(distance, V.Zero), V.Create(-1), V.Create(1));
        return V.Select(V.LessThan(zone, size), nearest + (sign * over), nearest);
    }

    private static void OffsetGroupBackward(in FakeQuantizePointers p, int row, int group, float* upstream, float* dOffset, float* dZero)
    {
        long step = ((long)row * p.Groups) + group, at = ((long)row * p.Columns) + (group * p.GroupSize);
        float* g = upstream + at, slope = p.Slope + at;
        V scale = SimdMath.Exp(V.Create(p.LogScale[step])), sum = V.Zero;
        for (int j = 0; j < p.GroupSize; j += V.Count)
        {
            // Beyond the end the upstream gradient is zero.
            int left = p.GroupSize - j;
            V u = V.Load(g + j, left), s = V.Load(slope + j, left);
            if (dOffset != null) (u * s).Store(dOffset + at + j, left);
            sum = V.MultiplyAdd(u, s - scale, sum);
        }
        if (dZero != null) dZero[step] = V.Sum(sum);
    }

    /// <summary>Returns the sum of dD over the group.</summary>
    private static float QuantizeGroupBackward(
        in FakeQuantizePointers p, int row, int group, float* upstream, float* dDelta, float* dColumn, out float dScale)
    {
        int start = group * p.GroupSize, n = p.GroupSize;
        long at = ((long)row * p.Columns) + start;
        float* g = upstream + at, quantized = p.Quantized + at, residue = p.Residue + at;
        if (dDelta != null) dDelta += at;
        if (dColumn != null) dColumn += start;
        V scaleSum = V.Zero, rowSum = V.Zero;
        for (int j = 0; j < n; j += V.Count)
        {
            // Beyond the end the upstream gradient is zero.
            int left = n - j;
            V u = V.Load(g + j, left), r = V.Load(residue + j, left);
            V d = V.Zero - (u * r);
            scaleSum = V.MultiplyAdd(u, V.Load(quantized + j, left) - r, scaleSum);
            rowSum += d;
            if (dDelta != null) d.Store(dDelta + j, left);
            if (dColumn != null) (d + V.Load(dColumn + j, left)).Store(dColumn + j, left);
        }
        dScale = V.Sum(scaleSum);
        return V.Sum(rowSum);
    }

    private readonly struct FakeQuantizePointers(in FakeQuantizeArguments arguments)
    {
        public readonly float* Weight = arguments.Weight.Pointer;
        public readonly float* LogScale = arguments.LogScale.Pointer;
        public readonly float* Zero = arguments.Zero.Pointer;
        public readonly float* Delta = arguments.Delta is null ? null : arguments.Delta.Pointer;
        public readonly float* RowOffset = arguments.RowOffset is null ? null : arguments.RowOffset.Pointer;
        public readonly float* ColumnOffset = arguments.ColumnOffset is null ? null : arguments.ColumnOffset.Pointer;
        public readonly float* Offset = arguments.Offset is null ? null : arguments.Offset.Pointer;
        public readonly float* Slope = arguments.Slope is null ? null : arguments.Slope.Pointer;
        public readonly float Softness = arguments.Softness;
        public readonly float* Quantized = arguments.Quantized.Pointer;
        public readonly float* Residue = arguments.Residue is null ? null : arguments.Residue.Pointer;
        public readonly int MaxCode = arguments.MaxCode;
        public readonly SmallFloat? Floats = arguments.Floats;
        public readonly int Rows = arguments.Weight.Rows;
        public readonly int Columns = arguments.Weight.Columns;
        public readonly int Groups = (int)(arguments.LogScale.Count / arguments.Weight.Rows);
        public readonly int GroupSize = (int)(arguments.Weight.Count / arguments.LogScale.Count);
    }
}
