using System.Text;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Models.Tokenizers.HuggingFace;

namespace LowRankQuant.Fuzz.Targets;

/// <summary>tokenizer.json, tried on a text of everything odd; and the same bytes as a tokenizer_config.json.</summary>
internal sealed class TokenizerTarget : FuzzTarget
{
    /// <summary>Letters, digits, white space of several kinds, marks, another script, beyond 16 bits, a lone surrogate, a special token, a long word.</summary>
    public const string Sample = "Hello, world!  don't 12345\r\n\n\t\u00a0e\u0301\ufb01\u0130 \u65e5\u672c\u8a9e \ud83d\ude00\ud800 <|endoftext|></s> aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\u2581 _";

    private static readonly byte[] Small = """
        {"added_tokens": [{"id": 3, "content": "<s>", "special": true}], "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"], "unk_token": "a"}}
        """u8.ToArray();

    public override string Name => "tokenizer";

    protected override void Read(byte[] input, Scratch scratch) => Each(
        () => Use(TokenizerJson.Load(new MemoryStream(input))),
        () => Use(TokenizerJson.Load(new MemoryStream(Small), new MemoryStream(input))));

    private static void Use(ITokenizer tokenizer)
    {
        int[] ids = tokenizer.Encode(Sample, addSpecialTokens: true);
        foreach (int id in ids)
        {
            if ((uint)id >= (uint)tokenizer.VocabularySize) throw new InvalidOperationException($"id {id} of a vocabulary of {tokenizer.VocabularySize}");
        }
        tokenizer.Decode(ids, skipSpecialTokens: false);
        tokenizer.Encode(Sample, addSpecialTokens: false, parseSpecialTokens: false);
        // Decoded text is text: it has no lone halves of characters.
        _ = new UTF8Encoding(false, throwOnInvalidBytes: true).GetByteCount(tokenizer.Decode(ids, skipSpecialTokens: true));
    }
}
