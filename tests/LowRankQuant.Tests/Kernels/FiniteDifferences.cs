using LowRankQuant.Numerics;

namespace LowRankQuant.Tests.Kernels;

/// <summary>Gradients checked against central differences in double precision.</summary>
internal static class FiniteDifferences
{
    public const double Tolerance = 1e-6;

    public static double[] Random(SeededRandom random, int count, double scale = 1)
    {
        var values = new double[count];
        for (int i = 0; i < count; i++) values[i] = scale * random.NextGaussian();
        return values;
    }

    public static double Dot(double[] a, double[] b) => a.Zip(b, (x, y) => x * y).Sum();

    /// <summary>Compares dloss/dx at every element of x, which is changed and restored.</summary>
    public static void Check(Func<double> loss, double[] x, double[] gradient, string what)
    {
        double largest = gradient.Max(Math.Abs);
        Assert.True(largest > 0, $"{what}: the gradient is zero everywhere.");
        for (int i = 0; i < x.Length; i++)
        {
            double kept = x[i], h = 1e-4 * Math.Max(1, Math.Abs(kept));
            double Slope(double step)
            {
                x[i] = kept + step;
                double above = loss();
                x[i] = kept - step;
                return (above - loss()) / (2 * step);
            }

            // Richardson's extrapolation removes the error of order h^2.
            double numeric = ((4 * Slope(h / 2)) - Slope(h)) / 3;
            x[i] = kept;
            Assert.True(
                Math.Abs(numeric - gradient[i]) <= Tolerance * Math.Max(largest * 1e-2, Math.Abs(gradient[i])),
                $"{what}[{i}]: {gradient[i]:r}, by differences {numeric:r}");
        }
    }
}
