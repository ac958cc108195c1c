namespace LowRankQuant.Models.ChatTemplates.Values;

/// <summary>A chat template that is absent, unsound, uses what this library does not know, or refuses the messages.</summary>
public sealed class ChatTemplateException : Exception
{
    private const int LongestShown = 80;

    /// <summary>Creates the exception with a message that says what and where.</summary>
    public ChatTemplateException(string message)
        : base(message)
    {
    }

    /// <summary>Creates the exception with its cause.</summary>
    public ChatTemplateException(string message, Exception inner)
        : base(message, inner)
    {
    }

    /// <summary>Creates an exception without a message.</summary>
    public ChatTemplateException()
    {
    }

    /// <summary>A part of a template on one line, cut where it is long.</summary>
    internal static string Show(string text)
    {
        string line = string.Join(' ', text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
        return line.Length <= LongestShown ? line : line[..LongestShown] + "...";
    }
}
