namespace LowRankQuant.Quantization.Storage;

/// <summary>An output folder that cannot take a run: it holds another one, or files that are not ours.</summary>
public sealed class RunFolderException : Exception
{
    /// <summary>Creates the exception with a message that names the folder, the rule and the remedy.</summary>
    public RunFolderException(string message)
        : base(message)
    {
    }

    /// <summary>Creates the exception with its cause.</summary>
    public RunFolderException(string message, Exception inner)
        : base(message, inner)
    {
    }

    /// <summary>Creates an exception without a message.</summary>
    public RunFolderException()
    {
    }
}
