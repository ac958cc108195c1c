using LowRankQuant.Numerics;
using LowRankQuant.Numerics.LinearAlgebra;
using LowRankQuant.Quantization.Calibration;

namespace LowRankQuant.Quantization.Methods.Layerwise;

/// <summary>
/// Second moments of a layer's inputs over the calibration tokens: H = X^T X / tokens [n, n] (a token a row of X) and mean |x_j| [n]. Sums are kept
/// in double precision, in the order in which windows come.
/// </summary>
internal sealed class InputStatistics
{
    private readonly double[] _sum;
    private readonly double[] _magnitudes;
    private double[]? _covariance;

    /// <summary>Statistics of no tokens.</summary>
    /// <param name="size">Inputs of the layer.</param>
    public InputStatistics(int size)
    {
        Size = size;
        _sum = new double[(long)size * size];
        _magnitudes = new double[size];
    }

    /// <summary>n.</summary>
    public int Size { get; }

    /// <summary>Tokens seen.</summary>
    public long Tokens { get; private set; }

    /// <summary>H, [n, n]. Not to be changed; no tokens may be added once it was asked for.</summary>
    public double[] Covariance
    {
        get
        {
            if (_covariance is null)
            {
                for (int i = 0; i < _sum.Length; i++) _sum[i] /= Math.Max(1, Tokens);
                _covariance = _sum;
            }
            return _covariance;
        }
    }

    /// <summary>mean |x_j|, [n].</summary>
    public double[] MeanMagnitude => [.. _magnitudes.Select(sum => sum / Math.Max(1, Tokens))];

    /// <summary>Statistics of a matrix in double precision, [tokens, n].</summary>
    public static InputStatistics Of(double[] x, int size, WorkerPool workers)
    {
        var statistics = new InputStatistics(size) { Tokens = x.Length / size };
        MatrixProduct.TransposedMultiply(x, x, statistics._sum, size, x.Length / size, size, workers);
        for (int i = 0; i < x.Length; i++) statistics._magnitudes[i % size] += Math.Abs(x[i]);
        return statistics;
    }

    /// <summary>Adds tokens.</summary>
    /// <param name="x">[tokens, n].</param>
    /// <exception cref="CalibrationException">An input is NaN or infinite.</exception>
    public void Add(Tensor x)
    {
        if (_covariance is not null) throw new InvalidOperationException("The covariance was already taken.");
        using Tensor product = x.Device.Empty(Size, Size);
        x.Device.Kernels.MatMul(x, true, x, false, product, accumulate: false);
        AddTo(_sum, product);
        ReadOnlySpan<float> values = x.IsOnHost ? x.Span : x.ToArray();
        for (int token = 0; token < x.Rows; token++)
        {
            ReadOnlySpan<float> inputs = values.Slice(token * Size, Size);
            for (int i = 0; i < inputs.Length; i++) _magnitudes[i] += Math.Abs(inputs[i]);
        }
        int bad = Array.FindIndex(_magnitudes, sum => !double.IsFinite(sum));
        if (bad >= 0) throw new CalibrationException($"Input {bad} is {_magnitudes[bad]} on some token; activations must be finite.");
        Tokens += x.Rows;
    }

    /// <summary>sum += product.</summary>
    internal static void AddTo(double[] sum, Tensor product)
    {
        const int part = 1 << 16;
        float[]? copied = product.IsOnHost ? null : product.ToArray();
        product.Device.HostWorkers.Run((sum.Length + part - 1) / part, chunk =>
        {
            Span<double> target = sum.AsSpan(chunk * part, Math.Min(part, sum.Length - (chunk * part)));
            ReadOnlySpan<float> values = (copied is null ? product.Span : copied).Slice(chunk * part, target.Length);
            for (int i = 0; i < target.Length; i++) target[i] += values[i];
        });
    }
}
