using LowRankQuant.Numerics;
using LowRankQuant.Numerics.LinearAlgebra;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Quantization.Methods.FlrqPlus;
using LowRankQuant.Tests.LinearAlgebra;

namespace LowRankQuant.Tests.Quantization.Flrq;

/// <summary>Vectors and matrix products against the formulas one element at a time.</summary>
public sealed class RangeGridTests : IDisposable
{
    private readonly WorkerPool _workers = new(2);

    public void Dispose() => _workers.Dispose();

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(8)]
    public void ErrorsInVectorsAreTheScalarOnesToTheBit(int bits)
    {
        const int size = 67;
        var grid = new UniformGrid(bits, false, Granularity.Group, size);
        for (int seed = 0; seed < 50; seed++)
        {
            double[] weights = Matrices.Random(1, size, seed), errors = new double[size];
            // Clamped on both sides, so that clamped weights are ties.
            double limit = 0.3 + (0.05 * seed);
            (double scale, int zero) = RangeGrid.FromRange(-limit, limit, grid);
            RangeGrid.Errors(weights, limit, scale, zero, grid.MaxCode, errors);
            for (int i = 0; i < size; i++)
            {
                int code = RangeGrid.Code(Math.Clamp(weights[i], -limit, limit), scale, zero, grid.MaxCode);
                Assert.Equal(((code - zero) * scale) - weights[i], errors[i]);
            }
        }
    }

    [Fact]
    public void RefittedScalesSolveTheNormalEquations()
    {
        const int rows = 19, n = 24, size = 8, groups = n / size;
        double[] metric = Matrices.PositiveDefinite(n, 1), target = Matrices.Random(rows, n, 2);
        var weight = GridWeight.RoundToNearest(target, rows, n, new UniformGrid(3, false, Granularity.Group, size), _workers);
        double[] before = [.. weight.Scales];
        ScaleRefit.Fit(target, weight, new CovarianceMetric(metric, (int)Math.Sqrt(metric.Length)), _workers);
        int changed = 0;
        for (int row = 0; row < rows; row++)
        {
            if (weight.Scales.AsSpan(row * groups, groups).SequenceEqual(before.AsSpan(row * groups, groups))) continue;
            changed++;
            // At the optimum the error is orthogonal, in the metric, to what each scale moves.
            double[] error = weight.ErrorOf(target)[(row * n)..((row + 1) * n)], image = Matrices.Multiply(error, metric, 1, n, n);
            for (int group = 0; group < groups; group++)
            {
                double product = 0;
                for (int j = group * size; j < (group + 1) * size; j++) product += (weight.Codes[(row * n) + j] - weight.Zeros[(row * groups) + group]) * image[j];
                Assert.Equal(0, product, 1e-10);
            }
        }
        Assert.True(changed > rows / 2, $"{changed} of {rows} rows were refitted");
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-10)]
    [InlineData(40)]
    public void InSinglePrecisionTheSameClipsAreFound(int exponent)
    {
        const int rows = 21, n = 96, size = 32, groups = n / size;
        double[] covariance = Matrices.PositiveDefinite(n, 9), residual = [.. Matrices.Random(rows, n, 10).Select(value => Math.ScaleB(value * value * value, exponent))];
        residual.AsSpan(size, size).Clear();
        var grid = new UniformGrid(2, false, Granularity.Group, size);
        ClipSearch.Result exact = ClipSearch.FindDouble(residual, rows, n, grid, covariance, ClipRange.Wide, _workers), single = ClipSearch.FindSingle(residual, rows, n, grid, covariance, ClipRange.Wide, _workers);
        for (int i = 0; i < rows * groups; i++) Assert.Equal(exact.Errors[i], single.Errors[i], 1e-5 * exact.Errors.Max());
        Assert.True(exact.Steps.Zip(single.Steps).Count(pair => pair.First != pair.Second) <= 1, "other candidates won");
        Assert.True(exact.Steps.Distinct().Count() > 3, "nothing is clipped");
        Assert.Equal(exact.Limits[1], single.Limits[1]);
    }

    [Fact]
    public void InSinglePrecisionScalesAndCodesAreAsGood()
    {
        const int rows = 40, n = 96, size = 16;
        double[] matrix = Matrices.PositiveDefinite(n, 5), target = Matrices.Random(rows, n, 6);
        var grid = new UniformGrid(3, false, Granularity.Group, size);
        double[] errors = [.. new[] { int.MaxValue, 0 }.Select(largestDouble =>
        {
            var metric = new CovarianceMetric(matrix, n, largestDouble);
            Assert.Equal(largestDouble == 0, metric.IsLarge);
            var weight = GridWeight.RoundToNearest(target, rows, n, grid, _workers);
            for (int round = 0; round < 3; round++)
            {
                CoordinateRounding.Sweep(target, weight, metric, _workers);
                ScaleRefit.Fit(target, weight, metric, _workers);
            }
            return QuadraticForm.Rows(weight.ErrorOf(target), matrix, rows, n, _workers).Sum();
        })];
        Assert.Equal(errors[0], errors[1], 1e-3 * errors[0]);
        var single = new CovarianceMetric(matrix, n, 0);
        double[] exact = Matrices.Multiply(target, matrix, rows, n, n), product = single.Multiply(target, rows, _workers);
        double largest = exact.Max(Math.Abs);
        for (int i = 0; i < exact.Length; i++) Assert.Equal(exact[i], product[i], 1e-5 * largest);
    }

    [Fact]
    public void TriangularProductsInSinglePrecisionAreThoseOfTheWholeMatrix()
    {
        const int rows = 30, n = 1200;
        var random = new Random(7);
        float[] factor = new float[n * n];
        for (int i = 0; i < n; i++)
        {
            for (int j = 0; j <= i; j++) factor[(i * n) + j] = random.NextSingle() - 0.5f;
        }
        double[] a = Matrices.Random(rows, n, 8), whole = new double[rows * n], half = new double[rows * n];
        SingleProduct.Multiply(a, factor, whole, rows, n, n, _workers);
        SingleProduct.Multiply(a, factor, half, rows, n, n, _workers, lowerTriangular: true);
        double largest = whole.Max(Math.Abs);
        for (int i = 0; i < whole.Length; i++) Assert.Equal(whole[i], half[i], 1e-5 * largest);
    }

    [Fact]
    public void ASweepMovesEveryCodeToItsBestPlaceInTurn()
    {
        const int rows = 18, n = 32, size = 16;
        double[] metric = Matrices.PositiveDefinite(n, 3), target = Matrices.Random(rows, n, 4);
        var grid = new UniformGrid(2, false, Granularity.Group, size);
        var weight = GridWeight.RoundToNearest(target, rows, n, grid, _workers);
        byte[] before = [.. weight.Codes], codes = [.. before];
        CoordinateRounding.Sweep(target, weight, new CovarianceMetric(metric, (int)Math.Sqrt(metric.Length)), _workers);
        for (int row = 0; row < rows; row++)
        {
            for (int j = 0; j < n; j++)
            {
                int at = (row * n) + j, best = -1;
                double least = double.PositiveInfinity;
                for (int code = 0; code <= grid.MaxCode; code++)
                {
                    codes[at] = (byte)code;
                    double energy = Energy(row);
                    if (energy >= least) continue;
                    (least, best) = (energy, code);
                }
                codes[at] = (byte)best;
                Assert.True(best == weight.Codes[at], $"row {row}, column {j}: code {weight.Codes[at]}, best is {best}");
            }
        }
        Assert.NotEqual(before, weight.Codes);

        double Energy(int row)
        {
            var error = new double[n];
            for (int j = 0; j < n; j++)
            {
                int group = (row * (n / size)) + (j / size);
                error[j] = target[(row * n) + j] - ((codes[(row * n) + j] - weight.Zeros[group]) * weight.Scales[group]);
            }
            return Matrices.Multiply(Matrices.Multiply(error, metric, 1, n, n), error, 1, n, 1)[0];
        }
    }
}
