using System.Runtime.Intrinsics;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Activations;

/// <summary>
/// The range of the smallest squared error over all values, with mn and mx the least and the largest of them and 0:
/// <code>
/// symmetric     T = max|x|:  +-(T/100) i, i = 1..100
/// asymmetric    [(mn/100) i, (mx/100) i], i = 1..100;  then the upper end alone, (mx/100) j, j = 1..100;  then the lower end alone
/// </code>
/// A candidate replaces the best one only where its error is smaller. Every step is a pass of its own over the windows (the first finds mn and mx), so that no value is kept:
/// 2 passes, or 4. Errors are summed row by row in double precision, in the order of the windows, a candidate by one thread.
/// </summary>
internal sealed class ErrorSearchRange : RangeEstimator
{
    private const int Candidates = 100;
    private const int Lanes = 16;

    private readonly WorkerPool _workers;
    private readonly (float Min, float Max)[] _extremes;
    private readonly (double Min, double Max)[] _best;
    private readonly double[] _bestError;
    private readonly double[] _errors;
    private readonly (double Min, double Max)[] _ranges;
    private readonly (float Step, float Zero)[] _grids;
    private int _pass;

    public ErrorSearchRange(ActivationGrid grid, int units, WorkerPool workers)
        : base(grid, units)
    {
        _workers = workers;
        _extremes = new (float, float)[units];
        Array.Fill(_extremes, (float.PositiveInfinity, float.NegativeInfinity));
        _best = new (double, double)[units];
        Array.Fill(_best, (double.PositiveInfinity, double.NegativeInfinity));
        _bestError = new double[units];
        Array.Fill(_bestError, double.PositiveInfinity);
        _errors = new double[units * Candidates];
        _ranges = new (double, double)[units * Candidates];
        _grids = new (float, float)[units * Candidates];
    }

    public override int Passes => Grid.Symmetric ? 2 : 4;

    public override long Bytes => (32L * Candidates * Units) + (32L * Units);

    public override void EndPass()
    {
        if (_pass > 0)
        {
            for (int unit = 0; unit < Units; unit++)
            {
                if (IsEmpty(unit)) continue;
                for (int i = unit * Candidates; i < (unit + 1) * Candidates; i++)
                {
                    if (_errors[i] < _bestError[unit]) (_bestError[unit], _best[unit]) = (_errors[i], _ranges[i]);
                }
            }
        }
        if (++_pass < Passes) Prepare();
    }

    private protected override void Window(ReadOnlySpan<float> values, int size)
    {
        if (_pass == 0)
        {
            MinMaxRange.Extend(values, size, _extremes);
            return;
        }
        if (_pass >= Passes) throw new InvalidOperationException($"The windows have been shown {_pass} times, and no more is needed.");
        unsafe
        {
            fixed (float* start = values)
            {
                float* all = start;
                int count = values.Length;
                _workers.Run(Candidates, candidate =>
                {
                    for (int at = 0, unit = 0; at < count; at += size, unit = (unit + 1) % Units)
                    {
                        int number = (unit * Candidates) + candidate;
                        _errors[number] += SquaredError(new ReadOnlySpan<float>(all + at, size), _grids[number].Step, _grids[number].Zero);
                    }
                });
            }
        }
    }

    private protected override (double Min, double Max) Found(int unit) => _best[unit];

    private bool IsEmpty(int unit) => !(_extremes[unit].Min <= _extremes[unit].Max);

    private void Prepare()
    {
        Array.Clear(_errors);
        for (int unit = 0; unit < Units; unit++)
        {
            double min = Math.Min(_extremes[unit].Min, 0f), max = Math.Max(_extremes[unit].Max, 0f);
            if (IsEmpty(unit)) continue;
            double most = Math.Max(-min, max);
            for (int i = 1; i <= Candidates; i++)
            {
                (double Min, double Max) range = Grid.Symmetric ? (-(most / Candidates * i), most / Candidates * i) : _pass switch
                {
                    1 => (min / Candidates * i, max / Candidates * i),
                    2 => (_best[unit].Min, max / Candidates * i),
                    _ => (min / Candidates * i, _best[unit].Max),
                };
                int number = (unit * Candidates) + i - 1;
                _ranges[number] = range;
                (double step, double zero) = Grid.Of(range.Min, range.Max);
                _grids[number] = ((float)step, (float)zero);
            }
        }
    }

    // Sixteen lanes whatever the registers, so that all machines sum alike.
    private double SquaredError(ReadOnlySpan<float> x, float step, float zero)
    {
        float low = Grid.LeastZeroPoint, high = Grid.MostZeroPoint;
        Vector512<float> s = Vector512.Create(step), z = Vector512.Create(zero), least = Vector512.Create(low), most = Vector512.Create(high);
        Vector512<double> lower = Vector512<double>.Zero, upper = Vector512<double>.Zero;
        int j = 0;
        for (; j <= x.Length - Lanes; j += Lanes)
        {
            Vector512<float> value = Vector512.Create(x[j..]), code = Vector512.Min(Vector512.Max(Vector512.Round((value / s) + z), least), most);
            Vector512<float> difference = value - ((code - z) * s), square = difference * difference;
            lower += Vector512.WidenLower(square);
            upper += Vector512.WidenUpper(square);
        }
        Span<double> sums = stackalloc double[Lanes];
        lower.CopyTo(sums);
        upper.CopyTo(sums[(Lanes / 2)..]);
        double total = 0;
        foreach (double sum in sums) total += sum;
        for (; j < x.Length; j++)
        {
            float code = Math.Clamp(MathF.Round((x[j] / step) + zero, MidpointRounding.ToEven), low, high), difference = x[j] - ((code - zero) * step);
            total += difference * difference;
        }
        return total;
    }
}
