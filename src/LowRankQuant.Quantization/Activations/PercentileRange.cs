using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Activations;

/// <summary>
/// Exact quantiles of all N values: sorted ascending, t = p (N - 1), i = floor(t), Q(p) = v_i + (t - i)(v_(i+1) - v_i). Asymmetric [Q(1 - p), Q(p)] of x, symmetric Q(p) of |x|.
/// Only the outermost values are kept: at most twice (1 - p) of those that can come, at each end.
/// </summary>
internal sealed class PercentileRange : RangeEstimator
{
    private readonly double _p;
    private readonly LargestValues[] _high;
    private readonly LargestValues[]? _low;
    private readonly long[] _count;
    private readonly long _most;

    public PercentileRange(ActivationGrid grid, int units, double p, long mostValues)
        : base(grid, units)
    {
        if (!(p is > 0.5 and <= 1)) throw new ArgumentOutOfRangeException(nameof(p), p, "A percentile is above 0.5 and at most 1.");
        ArgumentOutOfRangeException.ThrowIfLessThan(mostValues, 1);
        _p = p;
        _most = mostValues;
        _count = new long[units];
        // Of i + 1 and i, counted from the other end, the farther one.
        int kept = checked((int)Math.Min(mostValues, (long)((1 - p) * (mostValues - 1)) + 3));
        _high = [.. Enumerable.Range(0, units).Select(_ => new LargestValues(kept))];
        if (!grid.Symmetric) _low = [.. Enumerable.Range(0, units).Select(_ => new LargestValues(kept))];
    }

    public override long Bytes => _high.Concat(_low ?? []).Sum(values => values.Bytes);

    private protected override void Window(ReadOnlySpan<float> values, int size)
    {
        for (int at = 0, unit = 0; at < values.Length; at += size, unit = (unit + 1) % Units)
        {
            _count[unit] += size;
            if (_count[unit] > _most) throw new InvalidOperationException($"More than the {_most} values have come that were announced.");
            LargestValues high = _high[unit];
            if (_low is null)
            {
                foreach (float value in values.Slice(at, size)) high.Add(Math.Abs(value));
                continue;
            }
            LargestValues low = _low[unit];
            foreach (float value in values.Slice(at, size))
            {
                high.Add(value);
                low.Add(-value);
            }
        }
    }

    private protected override (double Min, double Max) Found(int unit)
    {
        long n = _count[unit];
        if (n == 0) return (double.PositiveInfinity, double.NegativeInfinity);
        float[] high = _high[unit].Descending();
        double max = Quantile(_p, n, rank => high[n - 1 - rank]);
        if (_low is null) return (-max, max);
        float[] low = _low[unit].Descending();
        return (Quantile(1 - _p, n, rank => -low[rank]), max);
    }

    private static double Quantile(double p, long n, Func<long, double> ascending)
    {
        double t = p * (n - 1);
        long i = (long)Math.Floor(t);
        double value = ascending(i);
        return i + 1 < n ? value + ((t - i) * (ascending(i + 1) - value)) : value;
    }

    /// <summary>The largest of the values that come.</summary>
    private sealed class LargestValues(int kept)
    {
        private readonly List<float> _values = [];
        private float _least = float.NegativeInfinity;

        public long Bytes => 2L * kept * sizeof(float);

        public void Add(float value)
        {
            // Equal to the least that is kept, it changes nothing.
            if (!(value > _least) && _values.Count >= kept) return;
            _values.Add(value);
            if (_values.Count >= 2 * (long)kept) Shorten();
        }

        public float[] Descending()
        {
            Shorten();
            return [.. _values];
        }

        private void Shorten()
        {
            _values.Sort((a, b) => b.CompareTo(a));
            if (_values.Count < kept) return;
            _values.RemoveRange(kept, _values.Count - kept);
            _least = _values[^1];
        }
    }
}
