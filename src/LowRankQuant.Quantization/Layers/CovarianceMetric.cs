using LowRankQuant.Numerics;
using LowRankQuant.Numerics.LinearAlgebra;

namespace LowRankQuant.Quantization.Layers;

/// <summary>
/// A damped covariance Hd as the metric of errors. Products with all of it are in double precision while it is small and in single beyond: they then take most of the time, and
/// choose among roundings that differ by far more.
/// </summary>
/// <param name="matrix">Hd, [n, n].</param>
/// <param name="size">n.</param>
/// <param name="largestDouble">Up to this size products are in double precision.</param>
internal sealed class CovarianceMetric(double[] matrix, int size, int largestDouble = TruncatedSvd.LargestExact)
{
    private float[]? _single;

    /// <summary>Hd, [n, n].</summary>
    public double[] Matrix => matrix;

    /// <summary>n.</summary>
    public int Size => size;

    /// <summary>Whether products are in single precision.</summary>
    public bool IsLarge => size > largestDouble;

    /// <summary>Hd rounded to floats.</summary>
    public float[] Single(WorkerPool workers)
    {
        if (_single is not null) return _single;
        float[] single = GC.AllocateUninitializedArray<float>(matrix.Length);
        SingleProduct.Narrow(matrix, single, size, workers);
        return _single = single;
    }

    /// <summary>D Hd, [rows, n].</summary>
    public double[] Multiply(double[] rows, int count, WorkerPool workers)
    {
        double[] product = GC.AllocateUninitializedArray<double>(rows.Length);
        if (IsLarge) SingleProduct.Multiply(rows, Single(workers), product, count, size, size, workers);
        else MatrixProduct.Multiply(rows, matrix, product, count, size, size, workers);
        return product;
    }
}
