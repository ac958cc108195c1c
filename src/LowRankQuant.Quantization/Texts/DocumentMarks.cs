using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Tokenizers;

namespace LowRankQuant.Quantization.Texts;

/// <summary>
/// The tokens between documents that follow each other in one stream: the end-of-text token behind each, the begin-of-text token in front where it is
/// asked for. A token that does both stands once; what a document holds itself is not added.
/// </summary>
/// <param name="Bos">Id of the begin-of-text token; null where it is not added.</param>
/// <param name="Eos">Id of the end-of-text token; null where the model names none.</param>
internal readonly record struct DocumentMarks(int? Bos, int? Eos)
{
    /// <summary>A model's begin-of-text token.</summary>
    public static int? BosId(ITokenizer? tokenizer, DecoderConfig config) => tokenizer?.BosId ?? config.BosId;

    /// <summary>A model's end-of-text token.</summary>
    public static int? EosId(ITokenizer? tokenizer, DecoderConfig config) => tokenizer?.EosId ?? (config.EosIds is [int eos, ..] ? eos : null);

    /// <summary>The tokens in front of a document.</summary>
    /// <param name="document">The document.</param>
    /// <param name="last">The one before; null when it is the first.</param>
    public IEnumerable<int> Before(TextDocument document, TextDocument? last)
    {
        if (document.Ids is not null) yield break;
        // A begin-of-text token that is also the end-of-text token does both at once.
        if (last is not null && Eos is { } eos && eos != Bos && !last.HasEos) yield return eos;
        if (Bos is { } bos && !document.HasBos) yield return bos;
    }
}
