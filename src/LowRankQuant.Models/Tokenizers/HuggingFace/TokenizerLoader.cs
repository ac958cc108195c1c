using LowRankQuant.Models.Tokenizers.SentencePiece;

namespace LowRankQuant.Models.Tokenizers.HuggingFace;

/// <summary>Finds the tokenizer in a model folder.</summary>
public static class TokenizerLoader
{
    private const string Json = "tokenizer.json", Model = "tokenizer.model", Vocab = "vocab.json", Merges = "merges.txt";

    /// <summary>Whether a folder holds the files of a tokenizer, sound or not.</summary>
    /// <param name="folder">Path of the folder.</param>
    public static bool IsIn(string folder) =>
        Exists(Path.Combine(folder, Json)) || Exists(Path.Combine(folder, Model)) || (Exists(Path.Combine(folder, Vocab)) && Exists(Path.Combine(folder, Merges)));

    /// <summary>
    /// Loads the tokenizer of a model folder: tokenizer.json, else tokenizer.model, else vocab.json with merges.txt, with the
    /// tokenizer_config.json, special_tokens_map.json and added_tokens.json beside it.
    /// </summary>
    /// <param name="folder">Path of the folder.</param>
    /// <param name="rows">
    /// Rows of the model's embedding: special tokens that are named without an id get the next ones where rows are left for them, else they stay text, as
    /// with null.
    /// </param>
    /// <returns>The tokenizer.</returns>
    /// <exception cref="TokenizerException">The folder holds no tokenizer, or one that is damaged or of an unknown kind.</exception>
    /// <exception cref="IOException">A file cannot be read.</exception>
    public static ITokenizer FromFolder(string folder, int? rows = null)
    {
        ArgumentNullException.ThrowIfNull(folder);
        string json = Path.Combine(folder, Json), model = Path.Combine(folder, Model), vocab = Path.Combine(folder, Vocab), merges = Path.Combine(folder, Merges);
        if (Exists(json)) return TokenizerJson.Load(json, rows);
        if (Exists(model)) return SentencePieceModel.Load(model, rows);
        if (Exists(vocab) && Exists(merges)) return Gpt2Vocabulary.Load(vocab, merges, rows);
        string rule = Directory.Exists(folder)
            ? "no tokenizer.json, no tokenizer.model and no vocab.json with merges.txt in this folder"
            : "there is no such folder";
        throw TokenizerException.For("tokenizer folder", folder, rule, "Copy the tokenizer files of the model there.");
    }

    // A folder of that name is no tokenizer; whoever reads it says so.
    private static bool Exists(string path) => File.Exists(path) || Directory.Exists(path);
}
