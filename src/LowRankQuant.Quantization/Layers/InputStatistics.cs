using LowRankQuant.Numerics;
using LowRankQuant.Numerics.LinearAlgebra;
using LowRankQuant.Quantization.Calibration;

namespace LowRankQuant.Quantization.Layers;

/// <summary>
/// Second moments of a layer's inputs over the calibration tokens: H = X^T X / tokens [n, n] (a token a row of X) and mean |x_j| [n]. Sums are kept
/// in double precision, in the order of <see cref="WindowSegments"/>.
/// </summary>
/// <param name="size">Inputs of the layer.</param>
internal sealed class InputStatistics(int size)
{
    // Below so many tokens per input the covariance is noise in part (specification FLRQ 15).
    private const int EnoughTokens = 8;

    private readonly SecondMoments _products = new(size);
    private readonly SegmentedMatrix _magnitudes = new(size);
    private double[]? _covariance;

    /// <summary>n.</summary>
    public int Size => size;

    /// <summary>Tokens seen.</summary>
    public long Tokens { get; private set; }

    /// <summary>H, [n, n]. Not to be changed; no tokens may be added once it was asked for.</summary>
    public double[] Covariance
    {
        get
        {
            if (_covariance is null)
            {
                EndSegment();
                _covariance = _products.TakeMean(Tokens);
            }
            return _covariance;
        }
    }

    /// <summary>mean |x_j|, [n].</summary>
    public double[] MeanMagnitude
    {
        get
        {
            _magnitudes.EndSegment();
            return [.. _magnitudes.Total.Select(sum => sum / Math.Max(1, Tokens))];
        }
    }

    /// <summary>Statistics of a matrix in double precision, [tokens, n].</summary>
    public static InputStatistics Of(double[] x, int size, WorkerPool workers)
    {
        var statistics = new InputStatistics(size) { Tokens = x.Length / size, _covariance = new double[size * size] };
        MatrixProduct.TransposedMultiply(x, x, statistics._covariance, size, x.Length / size, size, workers);
        for (int i = 0; i < statistics._covariance.Length; i++) statistics._covariance[i] /= Math.Max(1, statistics.Tokens);
        double[] magnitudes = statistics._magnitudes.Segment;
        for (int i = 0; i < x.Length; i++) magnitudes[i % size] += Math.Abs(x[i]);
        return statistics;
    }

    /// <summary>Adds tokens to the run of windows that goes on.</summary>
    /// <param name="x">[tokens, n].</param>
    /// <exception cref="CalibrationException">An input is NaN or infinite.</exception>
    public void Add(Tensor x)
    {
        if (_covariance is not null) throw new InvalidOperationException("The covariance was already taken.");
        _products.Add(x);
        double[] magnitudes = _magnitudes.Segment;
        ReadOnlySpan<float> values = x.IsOnHost ? x.Span : x.ToArray();
        for (int token = 0; token < x.Rows; token++)
        {
            ReadOnlySpan<float> inputs = values.Slice(token * size, size);
            for (int i = 0; i < inputs.Length; i++) magnitudes[i] += Math.Abs(inputs[i]);
        }
        int bad = Array.FindIndex(magnitudes, sum => !double.IsFinite(sum));
        if (bad >= 0) throw new CalibrationException($"Input {bad} is {magnitudes[bad]} on some token; activations must be finite.");
        Tokens += x.Rows;
    }

    /// <summary>Warns where there are too few tokens for the covariance to be more than noise.</summary>
    /// <param name="name">The layer.</param>
    /// <param name="damping">What is added to the diagonal, as part of its mean.</param>
    /// <param name="warnings">Receives the warning.</param>
    public void WarnOfFewTokens(string name, double damping, List<string> warnings)
    {
        if (Tokens < (long)EnoughTokens * size)
            warnings.Add(FormattableString.Invariant($"{name}: {Tokens} calibration tokens for {size} inputs; {EnoughTokens} per input are advisable, damping is {damping:G3}."));
    }

    /// <summary>Ends a run of windows.</summary>
    public void EndSegment()
    {
        _products.EndSegment();
        _magnitudes.EndSegment();
    }
}
