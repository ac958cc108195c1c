using System.Numerics;

namespace LowRankQuant.Quantization.Transforms.Rotation;

/// <summary>
/// A Hadamard matrix of Paley (Journal of Mathematics and Physics 12, 1933), from the quadratic residues of a prime q, chi(x) = 1, -1 or 0:
/// <code>
/// Q_ij = chi(i - j)                                                     [q, q]
/// first, q = 3 mod 4:   I + [0 1; -1 Q]                                 order q + 1: 4, 8, 12, 20, 24, 32, 44, 48, 60, 68
/// second, q = 1 mod 4:  C x [1 1; 1 -1] + I x [1 -1; -1 -1], C = [0 1; 1 Q]   order 2 (q + 1): 12, 28, 36, 60, 76, 84
/// </code>
/// </summary>
internal sealed class PaleyMatrix
{
    private readonly bool[,] _negative;

    private PaleyMatrix(int order, bool[,] negative)
    {
        Order = order;
        _negative = negative;
    }

    /// <summary>Rows and columns.</summary>
    public int Order { get; }

    /// <summary>The smallest one whose order times a power of two is <paramref name="size"/>; null where the size is a power of two or there is none.</summary>
    /// <param name="size">At least 1.</param>
    /// <param name="largest">The largest order that is looked at.</param>
    public static PaleyMatrix? DividingOut(int size, int largest)
    {
        int power = size & -size, odd = size / power;
        if (odd == 1) return null;
        for (int order = 4 * odd; order <= Math.Min(size, largest); order *= 2)
        {
            if (OfOrder(order) is { } found) return found;
        }
        return null;
    }

    /// <summary>The one of an order; null where neither construction has it.</summary>
    public static PaleyMatrix? OfOrder(int order)
    {
        if (order % 4 != 0) return null;
        if ((order - 1) % 4 == 3 && IsPrime(order - 1)) return new PaleyMatrix(order, First(order - 1));
        int q = (order / 2) - 1;
        return q % 4 == 1 && IsPrime(q) ? new PaleyMatrix(order, Second(q)) : null;
    }

    /// <summary>1 or -1.</summary>
    public int this[int row, int column] => _negative[row, column] ? -1 : 1;

    /// <summary>v becomes v H for vectors that lie side by side, [order, run].</summary>
    public void Apply(Span<double> values, int run)
    {
        double[] old = values.ToArray();
        values.Clear();
        for (int row = 0; row < Order; row++)
        {
            ReadOnlySpan<double> source = old.AsSpan(row * run, run);
            for (int column = 0; column < Order; column++) Add(values.Slice(column * run, run), source, _negative[row, column]);
        }
    }

    private static void Add(Span<double> sum, ReadOnlySpan<double> x, bool negative)
    {
        int i = 0;
        for (; i <= sum.Length - Vector<double>.Count; i += Vector<double>.Count)
        {
            Vector<double> a = new(sum[i..]), b = new(x[i..]);
            (negative ? a - b : a + b).CopyTo(sum[i..]);
        }
        for (; i < sum.Length; i++) sum[i] = negative ? sum[i] - x[i] : sum[i] + x[i];
    }

    private static bool[,] First(int q)
    {
        bool[] residues = Residues(q);
        var negative = new bool[q + 1, q + 1];
        for (int i = 1; i <= q; i++)
        {
            negative[i, 0] = true;
            for (int j = 1; j <= q; j++) negative[i, j] = i != j && !residues[Modulo(i - j, q)];
        }
        return negative;
    }

    private static bool[,] Second(int q)
    {
        bool[] residues = Residues(q);
        var negative = new bool[2 * (q + 1), 2 * (q + 1)];
        for (int i = 0; i <= q; i++)
        {
            for (int j = 0; j <= q; j++)
            {
                bool below = i > 0 && j > 0 && !residues[Modulo(i - j, q)];
                for (int a = 0; a < 2; a++)
                {
                    for (int b = 0; b < 2; b++) negative[(2 * i) + a, (2 * j) + b] = i == j ? a + b > 0 : below ^ (a + b == 2);
                }
            }
        }
        return negative;
    }

    private static bool[] Residues(int q)
    {
        var residues = new bool[q];
        for (long x = 1; x < q; x++) residues[x * x % q] = true;
        return residues;
    }

    private static int Modulo(int x, int q) => ((x % q) + q) % q;

    private static bool IsPrime(int number)
    {
        if (number < 2) return false;
        for (int divisor = 2; divisor * divisor <= number; divisor++)
        {
            if (number % divisor == 0) return false;
        }
        return true;
    }
}
