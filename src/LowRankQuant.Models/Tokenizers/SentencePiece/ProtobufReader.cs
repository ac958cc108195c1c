using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace LowRankQuant.Models.Tokenizers.SentencePiece;

/// <summary>Reads the fields of one protobuf message. Every length is checked against the bytes that are there.</summary>
internal ref struct ProtobufReader
{
    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);
    private readonly ReadOnlySpan<byte> _message;
    private readonly string _path;
    private int _at;
    private int _wireType;
    private ulong _number;
    private ReadOnlySpan<byte> _bytes;

    internal ProtobufReader(ReadOnlySpan<byte> message, string path)
    {
        _message = message;
        _path = path;
    }

    /// <summary>Number of the field read last.</summary>
    internal int Field { get; private set; }

    /// <summary>Reads the next field; false at the end of the message.</summary>
    internal bool Next()
    {
        if (_at >= _message.Length) return false;
        ulong tag = ReadNumber();
        Field = (int)(tag >> 3);
        _wireType = (int)(tag & 7);
        if (tag >> 3 is 0 or > 536_870_911) throw Damaged("a field number must lie in 1..536870911");
        switch (_wireType)
        {
            case 0:
                _number = ReadNumber();
                break;
            case 1:
                _bytes = Take(8);
                break;
            case 2:
                _bytes = Take(ReadNumber());
                break;
            case 5:
                _bytes = Take(4);
                break;
            default:
                throw Damaged($"wire type {_wireType} is not one of 0, 1, 2 and 5");
        }
        return true;
    }

    internal readonly int Int32()
    {
        Expect(0);
        return (int)_number;
    }

    internal readonly bool Bool()
    {
        Expect(0);
        return _number != 0;
    }

    internal readonly float Single()
    {
        Expect(5);
        return BinaryPrimitives.ReadSingleLittleEndian(_bytes);
    }

    internal readonly ReadOnlySpan<byte> Bytes()
    {
        Expect(2);
        return _bytes;
    }

    internal readonly string Text()
    {
        Expect(2);
        try
        {
            return Strict.GetString(_bytes);
        }
        catch (DecoderFallbackException error)
        {
            throw new TokenizerException($"{_path}, field {Field}: the text is not UTF-8. The file is damaged; fetch it again.", error);
        }
    }

    private readonly void Expect(int wireType)
    {
        if (_wireType != wireType) throw Damaged($"has wire type {_wireType}, not {wireType}");
    }

    private ulong ReadNumber()
    {
        ulong value = 0;
        for (int shift = 0; shift < 70; shift += 7)
        {
            if (_at >= _message.Length) throw Damaged("the message ends inside a number");
            byte b = _message[_at++];
            if (shift < 64) value |= (ulong)(b & 127) << shift;
            if (b < 128) return value;
        }
        throw Damaged("a number has more than ten bytes");
    }

    private ReadOnlySpan<byte> Take(ulong length)
    {
        if (length > (ulong)(_message.Length - _at))
            throw Damaged(string.Create(CultureInfo.InvariantCulture, $"asks for {length} bytes, but {_message.Length - _at} are left"));
        ReadOnlySpan<byte> taken = _message.Slice(_at, (int)length);
        _at += (int)length;
        return taken;
    }

    private readonly TokenizerException Damaged(string rule) =>
        new(string.Create(CultureInfo.InvariantCulture,
            $"{_path}, field {Field} at byte {_at}: {rule}. The file is damaged or no SentencePiece model; fetch it again."));
}
