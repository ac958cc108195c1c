using System.Text;

namespace LowRankQuant.Tests.Tokenizers;

/// <summary>Writes the few protobuf fields a model needs.</summary>
internal sealed class SentencePieceBuilder(int modelType)
{
    private readonly List<byte> _bytes = [];

    public SentencePieceBuilder Piece(string text, float score, int type = 1)
    {
        byte[] utf8 = Encoding.UTF8.GetBytes(text);
        Message(1, [0x0A, (byte)utf8.Length, .. utf8, 0x15, .. BitConverter.GetBytes(score), 0x18, (byte)type]);
        return this;
    }

    public byte[] Build(bool addDummyPrefix = true, bool byteFallback = false, bool charsMap = false)
    {
        Message(2, [0x18, (byte)modelType, 0x98, 0x02, (byte)(byteFallback ? 1 : 0)]);
        byte[] map = charsMap ? [0x12, 0x01, 0x00] : [];
        Message(3, [.. map, 0x18, (byte)(addDummyPrefix ? 1 : 0), 0x20, 0x00]);
        return [.. _bytes];
    }

    private void Message(int field, byte[] content)
    {
        _bytes.AddRange([(byte)(field << 3 | 2), (byte)content.Length]);
        _bytes.AddRange(content);
    }
}
