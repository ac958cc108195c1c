namespace LowRankQuant.Quantization.Planning;

/// <summary>Work that does not fit the memory or disk it was given.</summary>
public sealed class OutOfBudgetException : Exception
{
    /// <summary>Creates the exception with a message that gives what is needed, what is there and the remedy.</summary>
    public OutOfBudgetException(string message)
        : base(message)
    {
    }

    /// <summary>Creates the exception with its cause.</summary>
    public OutOfBudgetException(string message, Exception inner)
        : base(message, inner)
    {
    }

    /// <summary>Creates an exception without a message.</summary>
    public OutOfBudgetException()
    {
    }
}
