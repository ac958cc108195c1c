namespace LowRankQuant.Evaluation;

/// <summary>Evaluation data or settings that cannot be used: a text too short, ids of another tokenizer, models that cannot be compared.</summary>
public sealed class EvaluationException : Exception
{
    /// <summary>Creates the exception with a message that names the source, the value, the rule and the remedy.</summary>
    public EvaluationException(string message)
        : base(message)
    {
    }

    /// <summary>Creates the exception with its cause.</summary>
    public EvaluationException(string message, Exception inner)
        : base(message, inner)
    {
    }

    /// <summary>Creates an exception without a message.</summary>
    public EvaluationException()
    {
    }
}
