using System.Globalization;
using System.Numerics;
using LowRankQuant.Models.Decoder.Folds;
using LowRankQuant.Numerics;

namespace LowRankQuant.Quantization.Transforms.Rotation;

/// <summary>
/// A randomized Hadamard matrix as QuaRot has it (Ashkboos et al., NeurIPS 2024): Q = diag(signs) H / sqrt(order), signs from a seed, H a Hadamard matrix of the size:
/// <code>
/// 2^k        Sylvester's
/// m 2^k      H_m x Sylvester's of 2^k, H_m of Paley's first or second construction, m at most 512
/// other      blocks on the diagonal, each Sylvester's of the largest power of two that divides the size
/// </code>
/// Blocks on the diagonal spread an outlier over its block alone.
/// </summary>
public sealed class HadamardRotation : IChannelRotation
{
    private const int LargestBase = 512;
    private readonly double[] _scaledSigns;
    private readonly PaleyMatrix? _base;
    private readonly int _power;

    /// <summary>Makes the rotation.</summary>
    /// <param name="size">Channels, at least 1.</param>
    /// <param name="seed">Seed of the signs.</param>
    /// <param name="path">Further numbers that the signs depend on, see <see cref="SeededRandom.Derive"/>.</param>
    public HadamardRotation(int size, ulong seed, params ReadOnlySpan<ulong> path)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(size, 1);
        Size = size;
        _power = size & -size;
        _base = PaleyMatrix.DividingOut(size, LargestBase);
        if (_base is not null) _power = size / _base.Order;
        SeededRandom random = SeededRandom.Derive(seed, path);
        double scale = 1 / Math.Sqrt((double)(_base?.Order ?? 1) * _power);
        _scaledSigns = new double[size];
        for (int i = 0; i < size; i++) _scaledSigns[i] = random.NextInt32(2) == 0 ? scale : -scale;
    }

    /// <inheritdoc/>
    public int Size { get; }

    /// <summary>What it is made of, for reports.</summary>
    public string Form => _base is not null ? string.Create(CultureInfo.InvariantCulture, $"Hadamard {Size} (Paley {_base.Order} x Sylvester {_power})")
        : _power == Size ? string.Create(CultureInfo.InvariantCulture, $"Hadamard {Size} (Sylvester)")
        : string.Create(CultureInfo.InvariantCulture, $"{Size / _power} blocks of Hadamard {_power} (Sylvester)");

    /// <inheritdoc/>
    public void Apply(Span<double> values, int lanes)
    {
        for (int i = 0; i < Size; i++)
        {
            foreach (ref double value in values.Slice(i * lanes, lanes)) value *= _scaledSigns[i];
        }
        int run = _power * lanes;
        for (int start = 0; start < values.Length; start += run) Sylvester(values.Slice(start, run), lanes);
        _base?.Apply(values, run);
    }

    // Sums and differences of runs of growing length; every element goes through the same additions however wide vectors are.
    private static void Sylvester(Span<double> values, int lanes)
    {
        for (int run = lanes; run < values.Length; run *= 2)
        {
            for (int start = 0; start < values.Length; start += 2 * run) Butterfly(values.Slice(start, run), values.Slice(start + run, run));
        }
    }

    private static void Butterfly(Span<double> a, Span<double> b)
    {
        int i = 0;
        for (; i <= a.Length - Vector<double>.Count; i += Vector<double>.Count)
        {
            Vector<double> x = new(a[i..]), y = new(b[i..]);
            (x + y).CopyTo(a[i..]);
            (x - y).CopyTo(b[i..]);
        }
        for (; i < a.Length; i++) (a[i], b[i]) = (a[i] + b[i], a[i] - b[i]);
    }
}
