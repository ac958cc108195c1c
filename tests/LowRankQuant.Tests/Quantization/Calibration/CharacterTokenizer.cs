using LowRankQuant.Models.Tokenizers;

namespace LowRankQuant.Tests.Quantization.Calibration;

/// <summary>A token a character: its code, plus a begin and an end token. Counts the characters it was asked to encode.</summary>
internal sealed class CharacterTokenizer(int? bos = null, int? eos = 1, bool addsBos = false) : IPartTokenizer
{
    public long Encoded { get; private set; }

    public int VocabularySize => 256;

    public int? BosId => bos;

    public int? EosId => eos;

    public bool AddsBos => addsBos;

    public int[] Encode(string text, bool addSpecialTokens)
    {
        Encoded += text.Length;
        var ids = new int[text.Length];
        for (int i = 0; i < ids.Length; i++) ids[i] = text[i];
        return ids;
    }

    public int[] EncodeRest(string text) => Encode(text, addSpecialTokens: false);

    public bool MayCut(char before, char after) => true;

    public int[] Encode(string text, bool addSpecialTokens, bool parseSpecialTokens) => Encode(text, addSpecialTokens);

    public string Decode(ReadOnlySpan<int> ids, bool skipSpecialTokens) => string.Concat(ids.ToArray().Select(id => (char)id));

    public int? TokenId(string token) => token == "</s>" ? eos : null;

    public string? TokenText(int id) => id == eos ? "</s>" : ((char)id).ToString();

    public bool IsSpecial(int id) => id == bos || id == eos;
}
