namespace LowRankQuant.Models.Tokenizers;

/// <summary>Finds the tokenizer in a model folder.</summary>
public static class TokenizerLoader
{
    /// <summary>
    /// Loads the tokenizer of a model folder: tokenizer.json, else tokenizer.model, else vocab.json with merges.txt, with the
    /// tokenizer_config.json beside it.
    /// </summary>
    /// <param name="folder">Path of the folder.</param>
    /// <returns>The tokenizer.</returns>
    /// <exception cref="TokenizerException">The folder holds no tokenizer, or one that is damaged or of an unknown kind.</exception>
    /// <exception cref="IOException">A file cannot be read.</exception>
    public static ITokenizer FromFolder(string folder)
    {
        ArgumentNullException.ThrowIfNull(folder);
        string json = Path.Combine(folder, "tokenizer.json");
        if (File.Exists(json)) return TokenizerJson.Load(json);
        string model = Path.Combine(folder, "tokenizer.model");
        if (File.Exists(model)) return SentencePieceModel.Load(model);
        string vocab = Path.Combine(folder, "vocab.json");
        string merges = Path.Combine(folder, "merges.txt");
        if (File.Exists(vocab) && File.Exists(merges)) return Gpt2Vocabulary.Load(vocab, merges);
        string rule = Directory.Exists(folder)
            ? "no tokenizer.json, no tokenizer.model and no vocab.json with merges.txt in this folder"
            : "there is no such folder";
        throw TokenizerException.For("tokenizer folder", folder, rule, "Copy the tokenizer files of the model there.");
    }
}
