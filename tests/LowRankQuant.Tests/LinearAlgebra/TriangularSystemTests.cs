using LowRankQuant.Numerics.LinearAlgebra;

namespace LowRankQuant.Tests.LinearAlgebra;

public class TriangularSystemTests
{
    public static TheoryData<int> Sizes => Matrices.Sizes;

    // Well conditioned, with rubbish above the diagonal that must not be read.
    private static (double[] Lower, double[] WithRubbish) Triangle(int n)
    {
        double[] lower = Matrices.PositiveDefinite(n, n + 50);
        Cholesky.Factor<double>(lower, n);
        double[] rubbish = [.. lower];
        for (int i = 0; i < n; i++) rubbish.AsSpan((i * n) + i + 1, n - i - 1).Fill(double.NaN);
        return (lower, rubbish);
    }

    [Theory]
    [MemberData(nameof(Sizes))]
    public void AllFourSidesSolve(int n)
    {
        (double[] l, double[] given) = Triangle(n);
        double[] lt = Matrices.Transpose(l, n, n);
        foreach (int m in new[] { 0, 1, 2, 5, 37 })
        {
            double[] x = Matrices.Random(n, m, m), b = Matrices.Multiply(l, x, n, n, m);
            TriangularSystem.SolveLeft<double>(given, n, b, m);
            Matrices.Close(x, b, 1e-11);

            b = Matrices.Multiply(lt, x, n, n, m);
            TriangularSystem.SolveLeftTransposed<double>(given, n, b, m);
            Matrices.Close(x, b, 1e-11);

            double[] y = Matrices.Random(m, n, m);
            b = Matrices.Multiply(y, l, m, n, n);
            TriangularSystem.SolveRight<double>(given, n, b, m);
            Matrices.Close(y, b, 1e-11);

            b = Matrices.Multiply(y, lt, m, n, n);
            TriangularSystem.SolveRightTransposed<double>(given, n, b, m);
            Matrices.Close(y, b, 1e-11);
        }
    }

    [Theory]
    [MemberData(nameof(Sizes))]
    public void TheInverseIsLowerTriangularAndInverts(int n)
    {
        (double[] l, double[] inverse) = Triangle(n);
        TriangularSystem.Invert<double>(inverse, n);
        for (int i = 0; i < n; i++)
        {
            for (int j = i + 1; j < n; j++) Assert.Equal(0, inverse[(i * n) + j]);
        }
        Matrices.Close(Matrices.Identity(n), Matrices.Multiply(l, inverse, n, n, n), 1e-11);
    }

    [Fact]
    public void AZeroOnTheDiagonalIsNamed()
    {
        double[] l = Matrices.Identity(3);
        l[4] = 0;
        ArgumentException thrown = Assert.Throws<ArgumentException>(() => TriangularSystem.SolveLeft<double>(l, 3, new double[3], 1));
        Assert.Contains("element 1 of 3", thrown.Message);
    }
}
