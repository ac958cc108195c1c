namespace LowRankQuant.Models.Checkpoints.Containers;

/// <summary>A model that a target format cannot hold as asked; all reasons at once, found before anything is written.</summary>
public sealed class ExportException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="problems">One sentence each: tensor or option, rule, remedy.</param>
    public ExportException(IReadOnlyList<string> problems)
        : base(string.Join(Environment.NewLine, problems)) => Problems = problems;

    /// <summary>Creates the exception for one reason.</summary>
    public ExportException(string problem)
        : this([problem])
    {
    }

    /// <summary>Creates the exception with its cause.</summary>
    public ExportException(string problem, Exception inner)
        : base(problem, inner) => Problems = [problem];

    /// <summary>Creates an exception without a reason.</summary>
    public ExportException()
        : this("The model cannot be exported.")
    {
    }

    /// <summary>The reasons.</summary>
    public IReadOnlyList<string> Problems { get; }
}
