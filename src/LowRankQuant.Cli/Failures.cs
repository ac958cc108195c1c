using System.Globalization;
using System.Text;
using LowRankQuant.Evaluation;
using LowRankQuant.Formats;
using LowRankQuant.Hub;
using LowRankQuant.Models.ChatTemplates.Values;
using LowRankQuant.Models.Checkpoints.Containers;
using LowRankQuant.Models.Families;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Quantization.Planning;
using LowRankQuant.Quantization.Storage;
using LowRankQuant.Quantization.Texts;
using LowRankQuant.Quantization.Transforms;

namespace LowRankQuant.Cli;

/// <summary>From exceptions to one clear message and an exit code.</summary>
internal static class Failures
{
    /// <summary>When set to 1, stack traces are printed too.</summary>
    public const string DebugVariable = "LRQ_DEBUG";

    // One rule may hit every linear of a model.
    private const int MostProblems = 20;

    /// <summary>Prints the message.</summary>
    /// <param name="failure">What ended the command.</param>
    /// <param name="error">Where to print.</param>
    /// <param name="resumes">Whether the command keeps what is finished.</param>
    /// <returns>The exit code.</returns>
    public static int Report(Exception failure, TextWriter error, bool resumes)
    {
        // Threads that fail together fail for one reason; one message is enough.
        while (failure is AggregateException { InnerExceptions: [{ } inner, ..] }) failure = inner;
        if (Environment.GetEnvironmentVariable(DebugVariable) == "1") error.WriteLine(failure.ToString());
        switch (failure)
        {
            case StoppedException stopped:
                error.WriteLine(stopped.Message);
                return ExitCodes.Interrupted;
            case OperationCanceledException:
                error.WriteLine(resumes
                    ? "Stopped. What is finished is kept: the same command goes on from there."
                    : "Stopped before it was done; the same command starts from the beginning.");
                return ExitCodes.Interrupted;
            case RecipeException bad:
                WriteProblems(bad.Problems, error);
                return ExitCodes.BadRequest;
            case RequestException bad:
                WriteProblems(bad.Problems, error);
                return ExitCodes.BadRequest;
            case ExportException bad:
                WriteProblems([.. bad.Problems.Take(MostProblems)], error);
                if (bad.Problems.Count > MostProblems) error.WriteLine($"error: and {bad.Problems.Count - MostProblems} more.");
                return ExitCodes.BadRequest;
            case RunFolderException or OutputLockedException:
                error.WriteLine($"error: {OneLine(failure.Message)}");
                return ExitCodes.BadRequest;
            default:
                error.WriteLine($"error: {OneLine(Describe(failure))}");
                return ExitCodes.Failed;
        }
    }

    private static string Describe(Exception failure) => failure switch
    {
        CheckpointException or UnsupportedModelException or CheckpointFormatException or TokenizerException or ChatTemplateException or CalibrationException or TextSourceException or EvaluationException or OutOfBudgetException or TransformException or HubException => failure.Message,
        FileNotFoundException missing => missing.FileName is { } file && !failure.Message.Contains(file, StringComparison.Ordinal)
            ? $"{file}: {failure.Message}" : failure.Message,
        IOException or UnauthorizedAccessException => failure.Message,
        DllNotFoundException => $"{failure.Message} '--kernels simd' needs no library.",
        OutOfMemoryException => "not enough memory. Give --memory a smaller budget (activations then go to disk), or use fewer or shorter windows.",
        InvalidDataException => failure.Message,
        NotSupportedException => $"not supported: {failure.Message}",
        _ => $"{failure.GetType().Name}: {failure.Message} This is a defect of lrq; {DebugVariable}=1 prints where it happened.",
    };

    /// <summary>A message on one line, with options in the place of recipe keys: a file's name may hold line ends, or controls that rewrite what stands on a terminal.</summary>
    public static string OneLine(string message)
    {
        message = OptionText.Of(message);
        if (!message.Any(char.IsControl)) return message;
        var line = new StringBuilder();
        foreach (char c in message)
        {
            if (c == '\n') line.Append("\\n");
            else if (c == '\t') line.Append(' ');
            else if (char.IsControl(c)) line.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}");
            else line.Append(c);
        }
        return line.ToString();
    }

    private static void WriteProblems(IReadOnlyList<string> problems, TextWriter error)
    {
        foreach (string problem in problems.Distinct(StringComparer.Ordinal)) error.WriteLine($"error: {OneLine(problem)}");
    }
}
