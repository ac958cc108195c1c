namespace LowRankQuant.Models.Families;

/// <summary>A sound checkpoint that this version cannot run: its architecture, tensor type or an option is not supported.</summary>
public sealed class UnsupportedModelException : Exception
{
    /// <summary>Creates the exception with a message that names the tensor or key, the value, the rule and the remedy.</summary>
    public UnsupportedModelException(string message)
        : base(message)
    {
    }

    /// <summary>Creates the exception with its cause.</summary>
    public UnsupportedModelException(string message, Exception inner)
        : base(message, inner)
    {
    }

    /// <summary>Creates an exception without a message.</summary>
    public UnsupportedModelException()
    {
    }
}
