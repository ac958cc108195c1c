namespace LowRankQuant.Formats;

/// <summary>A checkpoint that cannot be used: a file, tensor or configuration value is absent, misshapen or out of range.</summary>
public sealed class CheckpointException : Exception
{
    /// <summary>Creates the exception with a message that names the tensor or key, the value, the rule and the remedy.</summary>
    public CheckpointException(string message)
        : base(message)
    {
    }

    /// <summary>Creates the exception with its cause.</summary>
    public CheckpointException(string message, Exception inner)
        : base(message, inner)
    {
    }

    /// <summary>Creates an exception without a message.</summary>
    public CheckpointException()
    {
    }
}
