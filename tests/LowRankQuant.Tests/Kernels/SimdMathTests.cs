using LowRankQuant.Numerics.Kernels.Scalar;
using LowRankQuant.Numerics.Kernels.Simd.Functions;
using LowRankQuant.Numerics.Kernels.Simd.Vectors;

namespace LowRankQuant.Tests.Kernels;

/// <summary>Elementary functions on vectors of every width.</summary>
public class SimdMathTests
{
    private enum Function
    {
        Exp,
        Tanh,
        Normal,
    }

    public static TheoryData<int> Widths => [.. KernelTwins.Widths];

    [Theory]
    [MemberData(nameof(Widths))]
    public void ExpIsWithinTwoUnitsInTheLastPlace(int bits)
    {
        float[] x = [.. Enumerable.Range(0, 50_000).Select(i => -87.3f + (i * (88.72f + 87.3f) / 50_000))];
        float[] y = Evaluate(bits, Function.Exp, x);
        for (int i = 0; i < x.Length; i++)
        {
            double exact = Math.Exp(x[i]), unit = MathF.BitIncrement((float)exact) - (double)(float)exact;
            if (!(Math.Abs(y[i] - exact) <= 2 * unit)) Assert.Fail($"exp({x[i]:r}) = {y[i]:r}, not {exact:r}");
        }
    }

    [Theory]
    [MemberData(nameof(Widths))]
    public void ExpAtTheEdges(int bits)
    {
        float[] x = [0, -0f, 88.7f, 88.73f, 200, float.PositiveInfinity, -87.4f, -100, -103, -104, -200, float.NegativeInfinity, float.NaN, 1e-30f];
        float[] y = Evaluate(bits, Function.Exp, x);
        Assert.Equal([1f, 1f], y[..2]);
        Assert.Equal(1, y[2] / Math.Exp(88.7f), 3e-7);
        Assert.Equal([float.PositiveInfinity, float.PositiveInfinity, float.PositiveInfinity], y[3..6]);
        for (int i = 6; i < 9; i++) Assert.Equal(Math.Exp(x[i]), y[i], 1.5e-45 + (2e-7 * Math.Exp(x[i])));
        Assert.Equal([0f, 0f, 0f], y[9..12]);
        Assert.True(float.IsNaN(y[12]));
        Assert.Equal(1f, y[13]);
    }

    [Theory]
    [MemberData(nameof(Widths))]
    public void ExpOfDoubles(int bits)
    {
        for (double x = -700; x < 700; x += 0.37)
        {
            double y = bits switch { 512 => Exp<D512>(x), 256 => Exp<D256>(x), _ => Exp<D128>(x) };
            if (!(Math.Abs((y / Math.Exp(x)) - 1) <= 4e-13)) Assert.Fail($"exp({x:r}) = {y:r}, not {Math.Exp(x):r}");
        }
        double zero = bits switch { 512 => Exp<D512>(0), 256 => Exp<D256>(0), _ => Exp<D128>(0) };
        Assert.Equal(1, zero);
        static double Exp<D>(double x)
            where D : struct, IDoubleVector<D> => D.Sum(SimdMath.ExpDouble(D.Create(x))) / D.Sum(D.Create(1));
    }

    [Theory]
    [MemberData(nameof(Widths))]
    public void TanhAndNormalDistribution(int bits)
    {
        float[] x = [.. Enumerable.Range(0, 10_000).Select(i => (i - 5_000) / 500f)];
        float[] tanh = Evaluate(bits, Function.Tanh, x), normal = Evaluate(bits, Function.Normal, x);
        for (int i = 0; i < x.Length; i++)
        {
            double exact = Math.Tanh(x[i]), distribution = Reference.NormalDistribution((double)x[i]);
            if (!(Math.Abs(tanh[i] - exact) <= 3e-7 * Math.Abs(exact))) Assert.Fail($"tanh({x[i]:r}) = {tanh[i]:r}, not {exact:r}");

            // In the tail the rounding of x^2 / 2 counts.
            double tolerance = 6e-7 + (x[i] < 0 ? 1.2e-7 * x[i] * x[i] / 2 : 0);
            if (!(Math.Abs(normal[i] - distribution) <= tolerance * distribution)) Assert.Fail($"P({x[i]:r}) = {normal[i]:r}, not {distribution:r}");
        }
        Assert.Equal([1f, -1f, 0f], Evaluate(bits, Function.Tanh, [50, -50, 0]));
    }

    [Theory]
    [MemberData(nameof(Widths))]
    public void HalvesAreRoundedToEven(int bits)
    {
        float[] x = [0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 8388607.5f];
        float[] y = bits switch { 512 => Rounded<V512>(x), 256 => Rounded<V256>(x), _ => Rounded<V128>(x) };
        Assert.Equal([0f, 2f, 2f, -0f, -2f, -2f, 8388608f], y);
    }

    [Theory]
    [MemberData(nameof(Widths))]
    public void PartialLoadsAndStoresKeepTheirDistance(int bits)
    {
        switch (bits)
        {
            case 512: CheckParts<V512>(); break;
            case 256: CheckParts<V256>(); break;
            default: CheckParts<V128>(); break;
        }
    }

    private static unsafe void CheckParts<V>()
        where V : struct, IVector<V>
    {
        float* source = stackalloc float[32], target = stackalloc float[32];
        for (int left = 1; left <= V.Count; left++)
        {
            for (int i = 0; i < 32; i++) (source[i], target[i]) = (i + 1, -1);
            V x = V.Load(source, left);
            Assert.Equal(left * (left + 1) / 2, V.Sum(x));
            Assert.Equal(left, V.Largest(x));
            (x + V.Create(1f)).Store(target, left);
            for (int i = 0; i < 32; i++) Assert.Equal(i < left ? i + 2 : -1, target[i]);
        }
    }

    private static float[] Evaluate(int bits, Function function, float[] x) => bits switch
    {
        512 => Evaluate<V512>(function, x),
        256 => Evaluate<V256>(function, x),
        _ => Evaluate<V128>(function, x),
    };

    private static unsafe float[] Evaluate<V>(Function function, float[] x)
        where V : struct, IVector<V>
    {
        var y = new float[x.Length];
        fixed (float* from = x, to = y)
        {
            for (int i = 0; i < x.Length; i += V.Count)
            {
                V v = V.Load(from + i, x.Length - i);
                v = function switch
                {
                    Function.Exp => SimdMath.Exp(v),
                    Function.Tanh => SimdMath.Tanh(v),
                    _ => SimdMath.NormalDistribution(v, out _),
                };
                v.Store(to + i, x.Length - i);
            }
        }
        return y;
    }

    private static unsafe float[] Rounded<V>(float[] x)
        where V : struct, IVector<V>
    {
        var y = new float[x.Length];
        fixed (float* from = x, to = y)
        {
            for (int i = 0; i < x.Length; i += V.Count) V.Round(V.Load(from + i, x.Length - i)).Store(to + i, x.Length - i);
        }
        return y;
    }
}
