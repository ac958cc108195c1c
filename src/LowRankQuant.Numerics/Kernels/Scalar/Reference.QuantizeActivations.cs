using System.Numerics;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Numerics.Kernels.Scalar;

/// <summary>Quantizers of activations; formulas at <see cref="ActivationGrid"/>, gradients at <see cref="ActivationQuantizerGradients"/>.</summary>
internal static partial class Reference
{
    /// <summary>Steps and zero points are written where the grid is dynamic; y is shaped as x.</summary>
    public static void QuantizeActivations<T>(ActivationGrid grid, ReadOnlySpan<T> x, int columns, Span<T> step, Span<T> zeroPoint, Span<T> y)
        where T : IFloatingPointIeee754<T>
    {
        int size = UnitSize(grid, x.Length, columns, step.Length);
        for (int at = 0; at < x.Length; at += size)
        {
            ActivationUnit<T> unit = UnitOf(grid, x.Slice(at, size), Number(at / size, step), step, zeroPoint);
            for (int j = at; j < at + size; j++) y[j] = (Code(grid, unit, x[j], out bool _) - unit.Offset) * unit.Step;
        }
    }

    /// <summary>The signed codes in the place of the values.</summary>
    public static void ActivationCodes<T>(ActivationGrid grid, ReadOnlySpan<T> x, int columns, Span<T> step, Span<T> zeroPoint, Span<sbyte> codes)
        where T : IFloatingPointIeee754<T>
    {
        int size = UnitSize(grid, x.Length, columns, step.Length);
        for (int at = 0; at < x.Length; at += size)
        {
            ActivationUnit<T> unit = UnitOf(grid, x.Slice(at, size), Number(at / size, step), step, zeroPoint);
            for (int j = at; j < at + size; j++) codes[j] = sbyte.CreateTruncating(Code(grid, unit, x[j], out bool _) + unit.Shift);
        }
    }

    /// <summary>Empty gradients are not written.</summary>
    public static void QuantizeActivationsBackward<T>(
        ActivationGrid grid, ReadOnlySpan<T> x, int columns, ReadOnlySpan<T> step, ReadOnlySpan<T> zeroPoint, ReadOnlySpan<T> upstream, bool accumulate, bool throughRange,
        Span<T> dx, Span<T> dStep, Span<T> dZeroPoint)
        where T : IFloatingPointIeee754<T>
    {
        int size = UnitSize(grid, x.Length, columns, step.Length);
        bool passesAll = PassesAll(grid);
        for (int at = 0; at < x.Length; at += size)
        {
            int number = Number(at / size, step);
            ActivationUnit<T> unit = grid.Unit(step[number], zeroPoint[number]);
            var sums = default(UnitSums);
            for (int j = at; j < at + size; j++)
            {
                T g = upstream[j], position = x[j] / unit.Step, code = Code(grid, unit, x[j], out bool inside);
                T through = inside || passesAll ? g : T.Zero;
                if (!dx.IsEmpty) dx[j] = accumulate ? dx[j] + through : through;
                T units = code - unit.Offset, term = g * (inside || passesAll ? units - position : units), clipped = inside ? T.Zero : g;
                sums.Add(j - at, double.CreateChecked(term), double.CreateChecked(clipped));
            }
            if (!dStep.IsEmpty) dStep[at / size] = T.CreateChecked(sums.Terms);
            if (!dZeroPoint.IsEmpty) dZeroPoint[at / size] = -unit.Step * T.CreateChecked(sums.Clipped);
            if (throughRange) AddThroughRange(grid, x.Slice(at, size), unit.Step, T.CreateChecked(sums.Terms), dx.Slice(at, size));
        }
    }

    /// <summary>Whether the gradient of every value passes, clipped or not.</summary>
    public static bool PassesAll(ActivationGrid grid) => grid.IsDynamic && grid.Rule != ActivationRule.Paper;

    /// <summary>The gradient of the values that the range of a unit is made of.</summary>
    public static void AddThroughRange<T>(ActivationGrid grid, ReadOnlySpan<T> x, T step, T dStep, Span<T> dx)
        where T : IFloatingPointIeee754<T>
    {
        int least = 0, most = 0;
        for (int j = 1; j < x.Length; j++)
        {
            if (x[j] < x[least]) least = j;
            if (x[j] > x[most]) most = j;
        }
        T levels = grid.Floats is { } floats ? T.CreateChecked(2 * floats.Largest) : T.CreateChecked(grid.Levels);
        if (grid.Symmetric)
        {
            int farthest = T.Abs(x[least]) > T.Abs(x[most]) || (T.Abs(x[least]) == T.Abs(x[most]) && least < most) ? least : most;
            dx[farthest] += T.CreateChecked(T.Sign(x[farthest])) * (dStep / (levels / T.CreateChecked(2)));
            return;
        }
        if (grid.Rule == ActivationRule.Paper)
        {
            // At its floor the step is constant.
            if (!((x[most] - x[least]) / levels > T.CreateChecked(1e-8))) return;
            dx[most] += dStep / levels;
            dx[least] -= dStep / levels;
            return;
        }
        if (x[most] > T.Zero) dx[most] += dStep / levels;
        if (x[least] < T.Zero) dx[least] -= dStep / levels;
    }

    private static ActivationUnit<T> UnitOf<T>(ActivationGrid grid, ReadOnlySpan<T> x, int number, Span<T> step, Span<T> zeroPoint)
        where T : IFloatingPointIeee754<T>
    {
        if (grid.IsDynamic)
        {
            T min = T.PositiveInfinity, max = T.NegativeInfinity;
            foreach (T value in x)
            {
                if (value < min) min = value;
                if (value > max) max = value;
            }
            // Which of two zeros is found first does not matter.
            (step[number], zeroPoint[number]) = grid.Of(min + T.Zero, max + T.Zero);
        }
        return grid.Unit(step[number], zeroPoint[number]);
    }

    private static T Code<T>(ActivationGrid grid, in ActivationUnit<T> unit, T x, out bool inside)
        where T : IFloatingPointIeee754<T>
    {
        T position = x / unit.Step, code = grid.Floats is { } floats ? floats.RoundOpen(position) : T.Round(position + unit.Offset, MidpointRounding.ToEven);
        inside = code >= unit.Low && code <= unit.High;
        return code < unit.Low ? unit.Low : code > unit.High ? unit.High : code;
    }

    private static int UnitSize(ActivationGrid grid, int count, int columns, int steps) =>
        count == 0 ? 1 : columns / (grid.IsDynamic ? steps / (count / columns) : steps);

    // Static steps repeat row by row.
    private static int Number<T>(int unit, ReadOnlySpan<T> step) => unit % step.Length;
}

/// <summary>Sums over a unit in double precision: four interleaved ones of each kind, added up in their order.</summary>
internal struct UnitSums
{
    private double _t0, _t1, _t2, _t3, _c0, _c1, _c2, _c3;

    /// <summary>Sum of the terms of ds.</summary>
    public readonly double Terms => _t0 + _t1 + (_t2 + _t3);

    /// <summary>Sum of G over clipped values.</summary>
    public readonly double Clipped => _c0 + _c1 + (_c2 + _c3);

    /// <summary>Adds the terms of element <paramref name="number"/> of the unit.</summary>
    public void Add(int number, double term, double clipped)
    {
        switch (number & 3)
        {
            case 0: (_t0, _c0) = (_t0 + term, _c0 + clipped); break;
            case 1: (_t1, _c1) = (_t1 + term, _c1 + clipped); break;
            case 2: (_t2, _c2) = (_t2 + term, _c2 + clipped); break;
            default: (_t3, _c3) = (_t3 + term, _c3 + clipped); break;
        }
    }

    /// <summary>Adds the terms of <paramref name="count"/> elements, the first of them of a number that four divides.</summary>
    public unsafe void Add(float* terms, float* clipped, int count)
    {
        int j = 0;
        for (; j <= count - 4; j += 4)
        {
            (_t0, _t1, _t2, _t3) = (_t0 + terms[j], _t1 + terms[j + 1], _t2 + terms[j + 2], _t3 + terms[j + 3]);
            (_c0, _c1, _c2, _c3) = (_c0 + clipped[j], _c1 + clipped[j + 1], _c2 + clipped[j + 2], _c3 + clipped[j + 3]);
        }
        for (; j < count; j++) Add(j, terms[j], clipped[j]);
    }
}
