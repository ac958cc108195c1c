using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Decoder.Positions;

/// <summary>Biases of keys, a function of head and key position, kept on one device and grown as longer sequences come.</summary>
/// <param name="device">Where they are.</param>
/// <param name="heads">Query heads.</param>
/// <param name="bias">The bias of (head, position).</param>
internal sealed class KeyBiasTable(Device device, int heads, Func<int, int, float> bias) : IDisposable
{
    private Tensor? _table;

    /// <summary>[heads, at least length]; valid until the next call.</summary>
    public Tensor For(int length)
    {
        if (_table is not null && _table.Columns >= length) return _table;
        int columns = Math.Max(length, 2 * (_table?.Columns ?? 0));
        _table?.Dispose();
        var values = new float[heads * columns];
        for (int head = 0; head < heads; head++)
        {
            for (int j = 0; j < columns; j++) values[(head * columns) + j] = bias(head, j);
        }
        return _table = device.From(values, heads, columns);
    }

    /// <inheritdoc/>
    public void Dispose() => _table?.Dispose();

    /// <summary>
    /// The slopes of ALiBi (Press et al., ICLR 2022): with P the largest power of two that is at most the number of heads, 2^(-8 (i + 1) / P) for the first P heads
    /// and 2^(-8 (2 i + 1) / (2 P)), i = 0, 1, ..., for the others.
    /// </summary>
    public static double[] AlibiSlopes(int heads)
    {
        int power = 1;
        while (power * 2 <= heads) power *= 2;
        return [.. Enumerable.Range(0, heads).Select(head => head < power
            ? Math.Pow(2, -8.0 * (head + 1) / power)
            : Math.Pow(2, -8.0 * ((2 * (head - power)) + 1) / (2.0 * power)))];
    }
}
