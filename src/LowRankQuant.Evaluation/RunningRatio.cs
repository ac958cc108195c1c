namespace LowRankQuant.Evaluation;

/// <summary>
/// A sum over a sum of pairs that come one after the other, and the standard error of that ratio from the pairs' deviations (linearised), in memory that
/// does not grow.
/// </summary>
internal sealed class RunningRatio
{
    // Deviations are taken from the first pair's ratio, which is near the last one, so that little cancels when they are moved to it.
    private double _origin;
    private double _values;
    private double _sizes;
    private double _squares;
    private double _products;
    private double _sizeSquares;
    private long _count;

    /// <summary>Sum of the values over sum of the sizes.</summary>
    public double Ratio => _values / _sizes;

    /// <summary>Its standard error; null for one pair.</summary>
    public double? Error
    {
        get
        {
            if (_count < 2) return null;
            double shift = Ratio - _origin, squares = _squares - (2 * shift * _products) + (shift * shift * _sizeSquares);
            return Math.Sqrt(Math.Max(0, squares) * _count / (_count - 1)) / _sizes;
        }
    }

    /// <summary>Adds a pair.</summary>
    /// <param name="value">Part of the numerator.</param>
    /// <param name="size">Part of the denominator, not negative.</param>
    public void Add(double value, double size)
    {
        if (_sizes == 0 && size > 0) _origin = value / size;
        double deviation = value - (_origin * size);
        _values += value;
        _sizes += size;
        _squares += deviation * deviation;
        _products += deviation * size;
        _sizeSquares += size * size;
        _count++;
    }
}
