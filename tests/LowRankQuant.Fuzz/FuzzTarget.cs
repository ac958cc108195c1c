using LowRankQuant.Evaluation;
using LowRankQuant.Formats;
using LowRankQuant.Fuzz.Targets;
using LowRankQuant.Models.ChatTemplates.Values;
using LowRankQuant.Models.Families;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Quantization.Texts;

namespace LowRankQuant.Fuzz;

/// <summary>One kind of input that comes from strangers, and everything that reads it.</summary>
internal abstract class FuzzTarget
{
    public static IReadOnlyList<FuzzTarget> All { get; } =
    [
        new SafetensorsTarget(), new GgufTarget(), new TokenizerTarget(), new ConfigTarget(), new ChatTemplateTarget(), new RecipeTarget(), new JsonLinesTarget(),
        new YamlTarget(),
    ];

    /// <summary>Name on the command line.</summary>
    public abstract string Name { get; }

    /// <summary>
    /// Reads an input. What the readers document for bad files ends well; everything else, an endless loop and too much memory included, is a finding.
    /// </summary>
    /// <returns>Why the input was refused; null when it was read.</returns>
    public Exception? Try(byte[] input, Scratch scratch)
    {
        try
        {
            Read(input, scratch);
            return null;
        }
        catch (Exception refusal) when (IsDocumented(refusal))
        {
            return refusal;
        }
    }

    /// <summary>Reads an input in every way there is.</summary>
    protected abstract void Read(byte[] input, Scratch scratch);

    /// <summary>Goes on after a refusal: another reader may take what this one does not.</summary>
    protected static void Each(params ReadOnlySpan<Action> readers)
    {
        Exception? first = null;
        foreach (Action reader in readers)
        {
            try
            {
                reader();
            }
            catch (Exception refusal) when (IsDocumented(refusal))
            {
                first ??= refusal;
            }
        }
        if (first is not null) System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(first);
    }

    private static bool IsDocumented(Exception failure) => failure is
        CheckpointFormatException or CheckpointException or UnsupportedModelException or TokenizerException or ChatTemplateException or CalibrationException
        or TextSourceException or EvaluationException or RecipeException;
}
