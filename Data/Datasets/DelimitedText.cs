using System.Text;

namespace MiniVlp.Data.Datasets;

/// <summary>
/// Rows of a comma- or tab-separated file as RFC 4180 has them: a field in double quotes may hold separators, line ends and doubled quotes.
/// </summary>
internal sealed class DelimitedText
{
    private const int FieldLimit = 1 << 20;
    private const int ColumnLimit = 10_000;

    private readonly string _text;
    private readonly char _separator;
    private readonly string _path;
    private int _position;
    private int _line = 1;

    public DelimitedText(string text, char separator, string path)
    {
        _text = text;
        _separator = separator;
        _path = path;
    }

    /// <summary>Line on which the last row began, counted from 1.</summary>
    public int RowLine { get; private set; }

    /// <summary>The next row, or null at the end; empty lines are passed over.</summary>
    public string[]? ReadRow()
    {
        while (_position < _text.Length && _text[_position] is '\r' or '\n')
        {
            EndLine();
        }

        if (_position >= _text.Length)
        {
            return null;
        }

        RowLine = _line;
        List<string> fields = [];
        do
        {
            if (fields.Count == ColumnLimit)
            {
                throw new InvalidDataException($"{_path}: line {RowLine} has more than {ColumnLimit} fields.");
            }

            fields.Add(_position < _text.Length && _text[_position] == '"' ? Quoted() : Plain());
        }
        while (TakeSeparator());

        if (_position < _text.Length)
        {
            EndLine();
        }

        return [.. fields];
    }

    private string Plain()
    {
        int length = _text.AsSpan(_position).IndexOfAny(_separator, '\r', '\n');
        length = length < 0 ? _text.Length - _position : length;
        CheckLength(length);
        string field = _text.Substring(_position, length);
        _position += length;
        return field;
    }

    private string Quoted()
    {
        int opened = _line;
        StringBuilder field = new();
        _position++;
        while (true)
        {
            int length = _text.AsSpan(_position).IndexOf('"');
            if (length < 0)
            {
                throw new InvalidDataException($"{_path}: the quote opened on line {opened} is never closed.");
            }

            CheckLength(field.Length + length);
            field.Append(_text, _position, length);
            _line += _text.AsSpan(_position, length).Count('\n');
            _position += length + 1;
            if (_position >= _text.Length || _text[_position] != '"')
            {
                break;
            }

            field.Append('"');
            _position++;
        }

        if (_position < _text.Length && _text[_position] != _separator && _text[_position] is not ('\r' or '\n'))
        {
            throw new InvalidDataException($"{_path}: line {_line}: a closing quote is followed by '{_text[_position]}' instead of a separator or line end.");
        }

        return field.ToString();
    }

    private bool TakeSeparator()
    {
        if (_position < _text.Length && _text[_position] == _separator)
        {
            _position++;
            return true;
        }

        return false;
    }

    private void EndLine()
    {
        if (_text[_position] == '\r' && _position + 1 < _text.Length && _text[_position + 1] == '\n')
        {
            _position++;
        }

        _position++;
        _line++;
    }

    private void CheckLength(int length)
    {
        if (length > FieldLimit)
        {
            throw new InvalidDataException($"{_path}: a field on line {_line} has more than {FieldLimit} characters.");
        }
    }
}
