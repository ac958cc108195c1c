using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Activations;

/// <summary>How the range of a static grid is found in calibration values.</summary>
public enum RangeRule
{
    /// <summary>The least and the largest value.</summary>
    MinMax,

    /// <summary>The range of a window, drawn towards each next window's by a constant: llm-compressor's default. Depends on the order of the windows, and clips.</summary>
    MovingAverage,

    /// <summary>Quantiles of all values.</summary>
    Percentile,

    /// <summary>The range of the smallest squared error of all values.</summary>
    ErrorSearch,
}

/// <summary>A rule with its constants.</summary>
/// <param name="Rule">The rule.</param>
/// <param name="Percentile">p of the quantiles Q(1 - p) and Q(p), above 0.5 and at most 1.</param>
/// <param name="AveragingConstant">How far a window draws the moving average, above 0 and at most 1.</param>
public sealed record RangeOptions(RangeRule Rule, double Percentile = 0.999, double AveragingConstant = 0.01);

/// <summary>
/// Finds the ranges of a static grid of compressed-tensors' rule, one a unit, from values that come window by window, in one or several passes over the same windows. The result
/// depends on the values, for a moving average and in the last bits of an error search also on the order of the windows, and never on threads.
/// </summary>
public abstract class RangeEstimator
{
    private readonly ActivationGrid _grid;

    private protected RangeEstimator(ActivationGrid grid, int units)
    {
        if (grid.IsDynamic) throw new ArgumentException($"A grid by {grid.Scope} makes its own range.", nameof(grid));
        if (grid.Rule != ActivationRule.CompressedTensors) throw new ArgumentException("Static grids follow the rule of compressed-tensors.", nameof(grid));
        ArgumentOutOfRangeException.ThrowIfLessThan(units, 1);
        _grid = grid;
        Units = units;
    }

    /// <summary>Runs of columns with a range each: heads, or 1.</summary>
    public int Units { get; }

    /// <summary>How often the windows have to be shown.</summary>
    public virtual int Passes => 1;

    /// <summary>Bytes that are held at most.</summary>
    public abstract long Bytes { get; }

    /// <summary>The grid.</summary>
    protected ActivationGrid Grid => _grid;

    /// <summary>Makes an estimator.</summary>
    /// <param name="options">The rule.</param>
    /// <param name="grid">A static grid.</param>
    /// <param name="heads">Heads of a row, where each has its own range.</param>
    /// <param name="mostValues">No unit gets more values than this in a pass; percentiles keep the outermost ones of so many.</param>
    /// <param name="workers">Threads of an error search.</param>
    /// <exception cref="ArgumentException">The grid is dynamic or of the paper's rule, or a constant is out of its range.</exception>
    public static RangeEstimator Create(RangeOptions options, ActivationGrid grid, int heads, long mostValues, WorkerPool workers)
    {
        int units = grid.IsPerHead ? heads : 1;
        return options.Rule switch
        {
            RangeRule.MinMax => new MinMaxRange(grid, units, 1),
            RangeRule.MovingAverage => new MinMaxRange(grid, units, options.AveragingConstant),
            RangeRule.Percentile => new PercentileRange(grid, units, options.Percentile, mostValues),
            RangeRule.ErrorSearch => new ErrorSearchRange(grid, units, workers),
            _ => throw new ArgumentOutOfRangeException(nameof(options), options.Rule, "No such rule."),
        };
    }

    /// <summary>Shows the next window of the pass.</summary>
    /// <param name="values">[rows, columns].</param>
    /// <param name="columns">Columns; the units divide them.</param>
    /// <exception cref="ArgumentException">The values are no rows of so many columns, or the units do not divide these.</exception>
    public void Add(ReadOnlySpan<float> values, int columns)
    {
        if (columns < 1 || values.Length % columns != 0 || columns % Units != 0)
            throw new ArgumentException($"{values.Length} values are no rows of {columns} columns in {Units} units.", nameof(columns));
        if (!values.IsEmpty) Window(values, columns / Units);
    }

    /// <summary>Says that all windows have been shown.</summary>
    public virtual void EndPass()
    {
    }

    /// <summary>The range of a unit: asymmetric with 0 in it, symmetric the same to both sides.</summary>
    public (double Min, double Max) RangeOf(int unit)
    {
        (double min, double max) = Found(unit);
        if (!_grid.Symmetric) return (Math.Min(min, 0), Math.Max(max, 0));
        double most = Math.Max(-min, max);
        return (-most, most);
    }

    /// <summary>Steps and zero points of all units.</summary>
    /// <exception cref="InvalidOperationException">A unit has seen no value.</exception>
    public (float[] Steps, float[] ZeroPoints) Steps()
    {
        var steps = new float[Units];
        var zeroPoints = new float[Units];
        for (int unit = 0; unit < Units; unit++)
        {
            (double least, double most) = Found(unit);
            if (!(least <= most)) throw new InvalidOperationException($"No value has come from which the range of unit {unit} could be found.");
            (double min, double max) = RangeOf(unit);
            (double step, double zero) = _grid.Of(min, max);
            (steps[unit], zeroPoints[unit]) = ((float)step, (float)zero);
        }
        return (steps, zeroPoints);
    }

    /// <summary>Takes a window: rows of units of <paramref name="size"/> columns each.</summary>
    private protected abstract void Window(ReadOnlySpan<float> values, int size);

    /// <summary>The range as it was found, before it is widened or made symmetric.</summary>
    private protected abstract (double Min, double Max) Found(int unit);
}

/// <summary>Least and largest values of all windows, or an average of theirs that moves.</summary>
internal sealed class MinMaxRange : RangeEstimator
{
    private readonly double _constant;
    private readonly (double Min, double Max)[] _ranges;
    private readonly (float Min, float Max)[] _window;
    private bool _begun;

    public MinMaxRange(ActivationGrid grid, int units, double constant)
        : base(grid, units)
    {
        if (!(constant is > 0 and <= 1)) throw new ArgumentOutOfRangeException(nameof(constant), constant, "The averaging constant is above 0 and at most 1.");
        _constant = constant;
        _ranges = new (double, double)[units];
        Array.Fill(_ranges, (double.PositiveInfinity, double.NegativeInfinity));
        _window = new (float, float)[units];
    }

    public override long Bytes => 24L * Units;

    public static void Extend(ReadOnlySpan<float> values, int size, Span<(float Min, float Max)> ranges)
    {
        for (int at = 0, unit = 0; at < values.Length; at += size, unit = (unit + 1) % ranges.Length)
        {
            (float min, float max) = ranges[unit];
            foreach (float value in values.Slice(at, size))
            {
                if (value < min) min = value;
                if (value > max) max = value;
            }
            ranges[unit] = (min, max);
        }
    }

    private protected override void Window(ReadOnlySpan<float> values, int size)
    {
        Array.Fill(_window, (float.PositiveInfinity, float.NegativeInfinity));
        Extend(values, size, _window);
        for (int unit = 0; unit < Units; unit++)
        {
            (double min, double max) = _ranges[unit];
            (float newMin, float newMax) = _window[unit];
            _ranges[unit] = _constant == 1 ? (Math.Min(min, newMin), Math.Max(max, newMax))
                : _begun ? (min + (_constant * (newMin - min)), max + (_constant * (newMax - max)))
                : (newMin, newMax);
        }
        _begun = true;
    }

    private protected override (double Min, double Max) Found(int unit) => _ranges[unit];
}
