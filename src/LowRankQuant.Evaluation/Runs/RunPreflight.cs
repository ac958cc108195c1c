using LowRankQuant.Formats;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Pipeline;

namespace LowRankQuant.Evaluation.Runs;

/// <summary>
/// What would stop a quantization run at its end, looked for before its first block: the run throws what it meets first, a plan collects all. Every check
/// does what the end of the run will do, short of writing the result.
/// </summary>
internal static class RunPreflight
{
    /// <summary>Makes all checks.</summary>
    /// <exception cref="Exception">Of the kind that the end of the run would have thrown.</exception>
    public static void Require(QuantizeJob job)
    {
        foreach (Action check in Checks(job)) check();
    }

    /// <summary>What all checks say, each once; empty when nothing is in the way.</summary>
    public static IEnumerable<string> Problems(QuantizeJob job) => Checks(job).Select(Problem).OfType<string>().Distinct(StringComparer.Ordinal);

    /// <summary>What a check says; null when it passes.</summary>
    public static string? Problem(Action check)
    {
        try
        {
            check();
            return null;
        }
        catch (Exception failure) when (failure is OutOfBudgetException or CheckpointException or CheckpointFormatException or UnsupportedModelException
            or TokenizerException or EvaluationException or CalibrationException or RunFolderException or OutputLockedException or IOException
            or InvalidDataException or UnauthorizedAccessException)
        {
            return failure.Message;
        }
    }

    private static IEnumerable<Action> Checks(QuantizeJob job)
    {
        yield return job.Model.CheckLinears;
        // Nothing is written or measured of some blocks alone.
        if (job.Blocks is not null) yield break;
        yield return () => job.Model.Checkpoint.LoadTokenizer();
        yield return () => CopySideFiles(job.Model.Checkpoint);
        yield return () => CheckEvaluationText(job);
    }

    // The files are small, and only copying them shows whether they can be read.
    private static void CopySideFiles(ICheckpoint checkpoint)
    {
        string aside = Directory.CreateTempSubdirectory("lrq-side-").FullName;
        try
        {
            checkpoint.CopySideFiles(aside);
        }
        finally
        {
            Directory.Delete(aside, recursive: true);
        }
    }

    // The first window tells whether there is a text at all and whether it is long enough; the run itself reads the others before its first block too.
    private static void CheckEvaluationText(QuantizeJob job)
    {
        if (job.EvaluationText is null) return;
        foreach (TextWindow _ in RunMeasurement.TextOf(job, job.Model.Checkpoint.LoadTokenizer())) return;
    }
}
