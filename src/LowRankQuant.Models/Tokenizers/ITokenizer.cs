namespace LowRankQuant.Models.Tokenizers;

/// <summary>Turns text into token ids and back. Implementations are immutable after loading and may be used by several threads at once.</summary>
public interface ITokenizer
{
    /// <summary>One more than the highest token id, added tokens included. A model's embedding must have at least this many rows.</summary>
    int VocabularySize { get; }

    /// <summary>Id of the begin-of-sequence token, or null when the files name none.</summary>
    int? BosId { get; }

    /// <summary>Id of the end-of-sequence token, or null when the files name none.</summary>
    int? EosId { get; }

    /// <summary>Whether the tokenizer's own files put the begin-of-sequence token before every encoded text.</summary>
    bool AddsBos { get; }

    /// <summary>Where the tokenizer's files leave room for other ids than these, a sentence each.</summary>
    IReadOnlyList<string> Warnings => [];

    /// <summary>Encodes a text; special tokens spelled out in the text are recognised.</summary>
    /// <param name="text">Any UTF-16 text; a lone surrogate counts as U+FFFD.</param>
    /// <param name="addSpecialTokens">Adds what the tokenizer's own post-processor puts around a single text (begin and end tokens).</param>
    /// <returns>The token ids, each in 0..<see cref="VocabularySize"/> - 1.</returns>
    /// <exception cref="TokenizerException">The vocabulary has no token, no bytes and no unknown token for a part of the text.</exception>
    int[] Encode(string text, bool addSpecialTokens);

    /// <summary>Encodes a text, with a choice about special tokens spelled out in it.</summary>
    /// <param name="text">Any UTF-16 text; a lone surrogate counts as U+FFFD.</param>
    /// <param name="addSpecialTokens">Adds what the tokenizer's own post-processor puts around a single text.</param>
    /// <param name="parseSpecialTokens">False takes special tokens in the text as ordinary characters (text of unknown origin).</param>
    /// <returns>The token ids.</returns>
    /// <exception cref="TokenizerException">The vocabulary has no token, no bytes and no unknown token for a part of the text.</exception>
    int[] Encode(string text, bool addSpecialTokens, bool parseSpecialTokens);

    /// <summary>Decodes token ids. Unknown ids are skipped; bytes that are not UTF-8 become U+FFFD. Spaces are not cleaned up.</summary>
    /// <param name="ids">Token ids.</param>
    /// <param name="skipSpecialTokens">Leaves out special tokens.</param>
    /// <returns>The text.</returns>
    string Decode(ReadOnlySpan<int> ids, bool skipSpecialTokens);

    /// <summary>Id of a token by its exact text in the vocabulary (byte-level letters or U+2581 for spaces included), or null.</summary>
    /// <param name="token">The token's text in the vocabulary.</param>
    int? TokenId(string token);

    /// <summary>Text of a token in the vocabulary, or null when the id is not used.</summary>
    /// <param name="id">A token id.</param>
    string? TokenText(int id);

    /// <summary>Whether an id is a special (control or unknown) token, which <see cref="Decode"/> can leave out.</summary>
    /// <param name="id">A token id.</param>
    bool IsSpecial(int id);
}
