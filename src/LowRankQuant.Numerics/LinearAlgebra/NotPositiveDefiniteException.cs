namespace LowRankQuant.Numerics.LinearAlgebra;

/// <summary>A matrix that had to be positive definite is not (or not within the precision of its type).</summary>
public sealed class NotPositiveDefiniteException : ArithmeticException
{
    /// <summary>Reports the pivot at which a factorisation ended.</summary>
    /// <param name="pivot">Zero-based row of the pivot.</param>
    /// <param name="size">Rows of the matrix.</param>
    public NotPositiveDefiniteException(int pivot, int size)
        : base($"The matrix is not positive definite: pivot {pivot} of {size} is not above rounding error. "
            + "Add a larger multiple of the mean diagonal (more damping) or use more data.")
    {
        Pivot = pivot;
        Size = size;
    }

    /// <summary>Zero-based row of the first pivot that is not positive.</summary>
    public int Pivot { get; }

    /// <summary>Rows of the matrix.</summary>
    public int Size { get; }
}
