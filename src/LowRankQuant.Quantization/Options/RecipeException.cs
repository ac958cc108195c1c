namespace LowRankQuant.Quantization.Options;

/// <summary>A recipe that cannot be run, with everything that is wrong about it at once.</summary>
public sealed class RecipeException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="problems">One sentence each, naming the option, the value, the rule and the remedy.</param>
    public RecipeException(IReadOnlyList<string> problems)
        : base(string.Join(Environment.NewLine, problems)) => Problems = problems;

    /// <summary>Creates an exception with one problem.</summary>
    public RecipeException(string message)
        : this([message])
    {
    }

    /// <summary>Creates an exception with one problem and its cause.</summary>
    public RecipeException(string message, Exception inner)
        : base(message, inner) => Problems = [message];

    /// <summary>Creates an exception without problems.</summary>
    public RecipeException() => Problems = [];

    /// <summary>Everything that is wrong, one sentence each.</summary>
    public IReadOnlyList<string> Problems { get; }
}
