using System.Globalization;
using System.Text.Json;
using Parquet;
using Parquet.Data;
using Parquet.Schema;

namespace LowRankQuant.Quantization.Texts;

/// <summary>
/// A column of one row group as JSON values, row after row: texts and numbers, structs as objects, lists as arrays. Parquet keeps of every leaf its values with
/// two levels each: how many of its optional ancestors are there, and at which list it goes on.
/// </summary>
internal sealed class ParquetColumn : IDisposable
{
    private readonly Field _field;
    private readonly Dictionary<Field, Leaf> _leaves;
    private int _longest;

    private ParquetColumn(Field field, Dictionary<Field, Leaf> leaves) => (_field, _leaves) = (field, leaves);

    /// <summary>Name of the column.</summary>
    public string Name => _field.Name;

    /// <summary>The leaves of a column, which hold its values.</summary>
    /// <exception cref="InvalidDataException">It holds what is not read, such as a map.</exception>
    public static IEnumerable<DataField> LeavesOf(Field field) => field switch
    {
        DataField leaf => [leaf],
        StructField parts => parts.Fields.SelectMany(LeavesOf),
        ListField list => LeavesOf(list.Item),
        _ => throw new InvalidDataException($"its column '{field.Path}' is a {field.SchemaType}, which is not read"),
    };

    /// <summary>Reads a column.</summary>
    /// <param name="group">The row group.</param>
    /// <param name="field">The column.</param>
    public static ParquetColumn Read(ParquetRowGroupReader group, Field field)
    {
        var leaves = new Dictionary<Field, Leaf>(ReferenceEqualityComparer.Instance);
        foreach (DataField leaf in LeavesOf(field)) leaves.Add(leaf, new Leaf(group.ReadRawColumnDataBaseAsync(leaf).AsTask().GetAwaiter().GetResult(), leaf));
        return new ParquetColumn(field, leaves);
    }

    /// <summary>Writes the next row's value.</summary>
    /// <param name="json">Gets it.</param>
    /// <param name="longest">Most bytes of a row.</param>
    /// <exception cref="InvalidDataException">There is none, or the row is too long.</exception>
    public void Write(Utf8JsonWriter json, int longest)
    {
        _longest = longest;
        Write(json, _field);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (Leaf leaf in _leaves.Values) leaf.Dispose();
    }

    private void Write(Utf8JsonWriter json, Field field)
    {
        if (json.BytesCommitted + json.BytesPending > _longest) throw new InvalidDataException($"a row has more than {_longest} bytes");
        Leaf first = _leaves[LeavesOf(field).First()];
        switch (field)
        {
            case DataField { IsArray: true } array:
                WriteItems(json, first, array.MaxRepetitionLevel, array.MaxDefinitionLevel, () => first.Write(json), array);
                break;
            case DataField:
                first.Write(json);
                break;
            case ListField list:
                WriteItems(json, first, list.MaxRepetitionLevel, list.MaxDefinitionLevel, () => Write(json, list.Item), list);
                break;
            case StructField parts:
                if (first.Definition < parts.MaxDefinitionLevel)
                {
                    Pass(parts);
                    json.WriteNullValue();
                    break;
                }
                json.WriteStartObject();
                foreach (Field part in parts.Fields)
                {
                    json.WritePropertyName(part.Name);
                    Write(json, part);
                }
                json.WriteEndObject();
                break;
        }
    }

    private void WriteItems(Utf8JsonWriter json, Leaf first, int repetition, int definition, Action item, Field list)
    {
        if (first.Definition < definition)
        {
            // One level below its items the list itself is there, and empty.
            bool isEmpty = first.Definition == definition - 1;
            Pass(list);
            if (isEmpty)
            {
                json.WriteStartArray();
                json.WriteEndArray();
            }
            else json.WriteNullValue();
            return;
        }
        json.WriteStartArray();
        do item();
        while (first.Repetition >= repetition);
        json.WriteEndArray();
    }

    private void Pass(Field field)
    {
        foreach (DataField leaf in LeavesOf(field)) _leaves[leaf].Pass();
    }

    /// <summary>Values of a leaf.</summary>
    private sealed class Leaf : IDisposable
    {
        private readonly RawColumnData _data;
        private readonly Action<Utf8JsonWriter, int> _write;
        private readonly int[]? _definitions;
        private readonly int[]? _repetitions;
        private readonly int _defined;
        private readonly int _count;
        private readonly int _values;
        private int _at;
        private int _value;

        public Leaf(RawColumnData data, DataField field)
        {
            _data = data;
            (_write, _values) = Writer(data, field);
            _defined = field.MaxDefinitionLevel;
            if (field.MaxDefinitionLevel > 0) _definitions = data.DefinitionLevels.ToArray();
            if (field.MaxRepetitionLevel > 0) _repetitions = data.RepetitionLevels.ToArray();
            _count = _definitions?.Length ?? _repetitions?.Length ?? _values;
            if (_repetitions is not null && _repetitions.Length != _count) throw new InvalidDataException("a column has levels of two lengths");
        }

        public int Definition => _at >= _count ? throw new InvalidDataException("a column has fewer values than rows") : _definitions?[_at] ?? _defined;

        /// <summary>At which list the next value goes on; negative at the end.</summary>
        public int Repetition => _at >= _count ? -1 : _repetitions?[_at] ?? 0;

        public void Pass()
        {
            if (Definition == _defined) _value++;
            _at++;
        }

        public void Write(Utf8JsonWriter json)
        {
            if (Definition < _defined) json.WriteNullValue();
            else if (_value >= _values) throw new InvalidDataException("a column has fewer values than its levels say");
            else _write(json, _value);
            Pass();
        }

        public void Dispose() => _data.Dispose();

        private static (Action<Utf8JsonWriter, int> Write, int Count) Writer(RawColumnData data, DataField field)
        {
            switch (data)
            {
                case RawColumnData<ReadOnlyMemory<char>> texts:
                    return ((json, i) => json.WriteStringValue(texts.Values[i].Span), texts.Values.Length);
                case RawColumnData<bool> truths:
                    return ((json, i) => json.WriteBooleanValue(truths.Values[i]), truths.Values.Length);
                case RawColumnData<int> numbers:
                    return ((json, i) => json.WriteNumberValue(numbers.Values[i]), numbers.Values.Length);
                case RawColumnData<long> numbers:
                    return ((json, i) => json.WriteNumberValue(numbers.Values[i]), numbers.Values.Length);
                case RawColumnData<short> numbers:
                    return ((json, i) => json.WriteNumberValue(numbers.Values[i]), numbers.Values.Length);
                case RawColumnData<ushort> numbers:
                    return ((json, i) => json.WriteNumberValue(numbers.Values[i]), numbers.Values.Length);
                case RawColumnData<uint> numbers:
                    return ((json, i) => json.WriteNumberValue(numbers.Values[i]), numbers.Values.Length);
                case RawColumnData<double> numbers:
                    return ((json, i) => Number(json, numbers.Values[i]), numbers.Values.Length);
                case RawColumnData<float> numbers:
                    return ((json, i) => Number(json, numbers.Values[i]), numbers.Values.Length);
                case RawColumnData<DateTime> times:
                    return ((json, i) => json.WriteStringValue(times.Values[i].ToString("o", CultureInfo.InvariantCulture)), times.Values.Length);
                default:
                    throw new InvalidDataException($"its column '{field.Path}' holds values of type {field.ClrType.Name}, which are not read as text");
            }
        }

        private static void Number(Utf8JsonWriter json, double value)
        {
            if (double.IsFinite(value)) json.WriteNumberValue(value);
            else json.WriteNullValue();
        }
    }
}
