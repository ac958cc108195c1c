namespace LowRankQuant.Numerics.LinearAlgebra;

/// <summary>An iterative decomposition did not settle within its limit of steps; not known to happen for finite matrices.</summary>
public sealed class NoConvergenceException : ArithmeticException
{
    /// <summary>Names the decomposition and the limit.</summary>
    /// <param name="decomposition">What was computed.</param>
    /// <param name="size">The smaller dimension of the matrix.</param>
    /// <param name="steps">Steps done.</param>
    public NoConvergenceException(string decomposition, int size, int steps)
        : base($"The {decomposition} of a matrix of size {size} did not converge in {steps} steps; please report the matrix.")
    {
    }
}
