using LowRankQuant.Quantization.Methods.Layerwise;

namespace LowRankQuant.Quantization.Methods.Flrq;

/// <summary>Terms taken off diag(alpha) W^T [n, m] one after the other, with a figure of what remains after each.</summary>
/// <param name="alpha">Activation scale, [n].</param>
/// <param name="outFeatures">m.</param>
internal abstract class Peeling(double[] alpha, int outFeatures)
{
    /// <summary>Terms so far: left [n], right [m].</summary>
    private readonly List<(double[] Left, double[] Right)> _terms = [];

    /// <summary>Terms so far.</summary>
    protected int Count => _terms.Count;

    /// <summary>Starts; returns the figure of the whole scaled matrix.</summary>
    public abstract double Begin();

    /// <summary>Peels the next term; returns the figure of what remains.</summary>
    public abstract double Next();

    /// <summary>The first terms as U [m, rank] and V [rank, n], un-scaled on the input side.</summary>
    public LowRankFactors Factors(int rank)
    {
        double[] u = new double[outFeatures * rank], v = new double[rank * alpha.Length];
        for (int term = 0; term < rank; term++)
        {
            (double[] left, double[] right) = _terms[term];
            for (int row = 0; row < right.Length; row++) u[(row * rank) + term] = right[row];
            for (int column = 0; column < left.Length; column++) v[(term * left.Length) + column] = left[column] / alpha[column];
        }
        return new LowRankFactors(rank, u, v);
    }

    /// <summary>Keeps a term.</summary>
    protected void Add(double[] left, double[] right) => _terms.Add((left, right));

    /// <summary>diag(alpha) W^T, [n, m].</summary>
    protected double[] Scaled(double[] weight, Numerics.WorkerPool workers)
    {
        int n = alpha.Length;
        var scaled = new double[weight.Length];
        workers.Run(n, column =>
        {
            for (int row = 0; row < outFeatures; row++) scaled[(column * outFeatures) + row] = alpha[column] * weight[(row * n) + column];
        });
        return scaled;
    }
}
