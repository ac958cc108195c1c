namespace LowRankQuant.Quantization.Texts;

/// <summary>A file that cannot be read as text: absent, a folder, damaged, of another format or encoding, or without the fields that hold text.</summary>
public sealed class TextSourceException : Exception
{
    /// <summary>Creates the exception with a message that names the file, the place, the rule and the remedy.</summary>
    public TextSourceException(string message)
        : base(message)
    {
    }

    /// <summary>Creates the exception with its cause.</summary>
    public TextSourceException(string message, Exception inner)
        : base(message, inner)
    {
    }

    /// <summary>Creates an exception without a message.</summary>
    public TextSourceException()
    {
    }
}
