using LowRankQuant.Evaluation;
using LowRankQuant.Formats;
using LowRankQuant.Models.Families;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Planning;
using LowRankQuant.Quantization.Storage;
using LowRankQuant.Quantization.Texts;
using LowRankQuant.Quantization.Transforms;
using LowRankQuant.Runs.Measuring;

namespace LowRankQuant.Runs.Quantizing;

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
        if (job.Blocks is null) WritePlan.Check(job.Model, job.Recipe, job.Format == OutputFormat.Dense);
    }

    /// <summary>What all checks say, each once; empty when nothing is in the way.</summary>
    public static IReadOnlyList<string> Problems(QuantizeJob job)
    {
        List<string> problems = [.. Checks(job).Select(Problem).OfType<string>()];
        // What is no sound model is not written on trial.
        if (problems.Count == 0 && job.Blocks is null) problems.AddRange(WritePlan.Problems(job.Model, job.Recipe, job.Format == OutputFormat.Dense));
        return [.. problems.Distinct(StringComparer.Ordinal)];
    }

    /// <summary>What a check says; null when it passes.</summary>
    public static string? Problem(Action check)
    {
        try
        {
            check();
            return null;
        }
        catch (Exception failure) when (failure is OutOfBudgetException or CheckpointException or CheckpointFormatException or UnsupportedModelException
            or TokenizerException or EvaluationException or CalibrationException or TextSourceException or RunFolderException or OutputLockedException or IOException
            or InvalidDataException or UnauthorizedAccessException or TransformException)
        {
            return failure.Message;
        }
    }

    private static IEnumerable<Action> Checks(QuantizeJob job)
    {
        yield return job.Model.CheckLinears;
        foreach (TransformSettings transform in job.Recipe.Transforms.Concat(job.Recipe.Methods.Select(method => method.Transform).OfType<TransformSettings>())) yield return () => transform.Create(job.Model, job.Recipe.Seed);
        yield return () => CheckCache(job);
        // Nothing is written or measured of some blocks alone.
        if (job.Blocks is not null) yield break;
        // A model without a tokenizer can be quantized where no text is read.
        if (job.HasTokenizer || job.EvaluationText is not null) yield return () => job.Model.Checkpoint.LoadTokenizer();
        yield return () => CheckEvaluationText(job);
    }

    // Static steps are stored, and an engine that keeps something else would take them for it.
    private static void CheckCache(QuantizeJob job)
    {
        if (job.Recipe.Cache is not { IsStorable: true } || job.Model.CacheStorageObstacle() is not { } obstacle) return;
        throw new UnsupportedModelException(
            $"{job.Model.Config.ModelType}: a static cache ({job.Recipe.Cache}) cannot be stored: {obstacle}. Take steps per token (8:token), or none (off).");
    }

    // The first window tells whether there is a text at all and whether it is long enough; the run itself reads the others before its first block too.
    private static void CheckEvaluationText(QuantizeJob job)
    {
        if (job.EvaluationText is null) return;
        foreach (TextWindow _ in RunMeasurement.TextOf(job, job.Model.Checkpoint.LoadTokenizer())) return;
    }
}
